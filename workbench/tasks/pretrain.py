"""The Pretrain stage: listings of the train part -> an MLIM checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import AUTO, Model, Pretrain, Runtime

if TYPE_CHECKING:
    import torch

    from workbench.batch import Batch
    from workbench.tasks.course import Course
    from workbench.tasks.objective import Pretraining
    from workbench.train.checkpoints import Checkpoints
    from workbench.train.loop import Plan


def stage(model: Model, pretrain: Pretrain, digests: Mapping[str, str], recipe: str = "") -> Stage:
    """Pre-training of `model`; `digests` holds model.bert or model.checkpoint when weights are the start. `recipe` is
    the name by which it is shown."""
    return Stage(
        name="pretrain",
        version=4,
        section={
            "model": model.model_dump(mode="json", exclude={"bert", "checkpoint"}),
            "pretrain": pretrain.model_dump(mode="json"),
        },
        needs=("ingest", "images", "duplicates", "split", "tokens"),
        sources=dict(digests),
        together=True,
        run=lambda work: _run(work, model, pretrain, recipe),
    )


def _run(work: Work, model: Model, pretrain: Pretrain, recipe: str) -> Mapping[str, Any]:
    # Imported here: a plan needs the stage above, not torch.
    import torch

    from workbench.images.stream import note_of_limit
    from workbench.tasks.catalog import choose_device, open_catalog, training_order
    from workbench.tasks.course import Course
    from workbench.tasks.network import WEIGHTS, build, config_of, save_network
    from workbench.tasks.objective import Pretraining, group_numbers
    from workbench.tasks.pretrain_checkpoints import checkpoints_of
    from workbench.tasks.sizes import with_sizes
    from workbench.train.checkpoint import METRICS
    from workbench.train.metrics_log import ending
    from workbench.train.spread import make_whole
    from workbench.train.world import ALONE

    def say(line: str) -> None:
        work.console.print(line, soft_wrap=True, markup=False)

    device, world = choose_device(work), work.world or ALONE
    catalog = open_catalog(work.inputs, model, work.runtime, device)
    say(catalog.decoder)
    if note := note_of_limit(work.inputs["images"], pretrain.sampling.window, "pretrain.sampling.window"):
        say(note)
    torch.manual_seed(pretrain.seed)
    network, loaded = build(model, catalog.listings.tokens.tokenizer)
    network.encoder.recompute = work.runtime.recompute
    if model.checkpoint:
        say(f"the start: {model.checkpoint}")
    if loaded:
        say(str(loaded))
    objective = Pretraining(network, pretrain.objectives, group_numbers(catalog.items))
    parameters = sum(p.numel() for p in network.parameters())
    best = pretrain.result == "best"
    with checkpoints_of(work, config_of(network), parameters, best, pretrain.average is not None) as checkpoints:
        plan = _plan(model, pretrain, work.runtime)
        sized = with_sizes(pretrain, plan, objective, catalog, checkpoints, device, world, say)
        order = training_order(catalog, work.inputs["images"], sized, sized.epochs)
        course = Course(catalog, order, sized, world, compared=bool(objective.heads.state_dict()))
        if world.heard({"trains": not (work.folder / WEIGHTS).exists()}) == {"trains": True}:  # else killed after that
            _train(work, model, objective, course, checkpoints, device, recipe, say)
            make_whole(objective.model)
            if world.chief:
                save_network(work.folder, network, objective.heads)
        if not world.chief:
            return {}
        checkpoints.finished(order.steps)
    rows = catalog.rows("train")
    return {
        "listings": len(course.train),
        "left_out": _left_out(catalog.shards.states[rows], catalog.listings.tokens.lengths[rows]),
        "parameters": parameters,
        "epochs": pretrain.epochs,
        "steps": order.steps,
        **({"batch_size": sized.optim.batch_size} if pretrain.optim.batch_size == AUTO else {}),
        **ending(work.folder / METRICS, objective.weights, order.steps, best),
        **({"bert": loaded.summary()} if loaded else {}),
    }


def _train(
    work: Work,
    model: Model,
    objective: Pretraining,
    course: Course,
    checkpoints: Checkpoints,
    device: torch.device,
    recipe: str,
    say: Callable[[str], None],
) -> None:
    """From the last checkpoint, if there is one, to the end. Raises Interrupted, all saved, when the user stops it."""
    from workbench.tasks.replay import keeping
    from workbench.train.flops import flops_of
    from workbench.train.loop import fit
    from workbench.train.meter import Meter
    from workbench.train.span import Gauge
    from workbench.train.stopping import stoppable

    network, pretrain, order, world = objective.network, course.pretrain, course.order, course.world
    if work.runtime.compile:
        network.compile()
    plan = replace(_plan(model, pretrain, work.runtime), steps=order.steps)
    gauge = Gauge(flops_of(network.shape, objective.weights), device, model.precision, world.size)
    seen = Meter(work, "pretrain", order.steps, pretrain.log_every, recipe, order.steps_per_epoch, gauge)
    items = course.catalog.items
    with stoppable() as stop, seen as meter:

        def batches(first: int, micro_batch: int) -> Iterator[list[Batch]]:
            meter.begin(first)
            return course.batches(first, micro_batch)

        outcome = fit(
            objective,
            batches,
            plan,
            work.folder,
            checkpoints,
            device,
            world=world,
            valid=course.held_out,
            progress=meter,
            skipped=keeping(work, objective, pretrain.objectives, plan, course.step, items, world, say),
            say=say,
            stop=stop,
        )
        if outcome.stopped:
            raise stop.interrupted("pretrain")


def _plan(model: Model, pretrain: Pretrain, runtime: Runtime) -> Plan:
    """But for its steps."""
    from workbench.batches.order import side_at
    from workbench.train.loop import Plan

    return Plan(
        steps=0,
        optim=pretrain.optim,
        seed=pretrain.seed,
        layer_decay=pretrain.layer_decay,
        precision=model.precision,
        parallel=runtime.parallel,
        average=pretrain.average,
        patience=pretrain.patience,
        best=pretrain.result == "best",
        log_every=pretrain.log_every,
        side=lambda step, steps: side_at(pretrain.sampling.sides, step, steps),
    )


def _left_out(states: Any, lengths: Any) -> dict[str, int]:
    """Listings of the train part that pre-training doesn't see, by reason."""
    reasons = [
        f"picture {state}" if state != "present" else "no text"
        for state, length in zip(states, lengths, strict=True)
        if state != "present" or not length
    ]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}
