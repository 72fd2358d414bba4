"""The Pretrain stage: listings of the train part -> an MLIM checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import AUTO, Model, Pretrain


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
    import numpy as np
    import torch

    from workbench.batch import Batch
    from workbench.batches.loader import ahead
    from workbench.batches.order import Rows, cut, deal, side_at
    from workbench.draws import ORDER, stream
    from workbench.images.stream import note_of_limit
    from workbench.tasks.catalog import choose_device, open_catalog, training_order
    from workbench.tasks.line import checkpoints_of
    from workbench.tasks.network import WEIGHTS, build, config_of, save_network
    from workbench.tasks.objective import Pretraining, group_numbers
    from workbench.tasks.replay import keeping
    from workbench.tasks.sizes import with_sizes
    from workbench.train.checkpoint import METRICS
    from workbench.train.flops import flops_of
    from workbench.train.loop import Plan, fit
    from workbench.train.meter import Meter
    from workbench.train.metrics_log import ending
    from workbench.train.span import Gauge
    from workbench.train.spread import make_whole
    from workbench.train.stopping import stoppable
    from workbench.train.world import ALONE

    device, world = choose_device(work), work.world or ALONE
    catalog = open_catalog(work.inputs, model, work.runtime, device)
    work.console.print(catalog.decoder, soft_wrap=True, markup=False)
    if note := note_of_limit(work.inputs["images"], pretrain.sampling.window, "pretrain.sampling.window"):
        work.console.print(note, soft_wrap=True, markup=False)
    train, valid = catalog.pictured("train"), catalog.pictured("valid")
    torch.manual_seed(pretrain.seed)
    network, loaded = build(model, catalog.listings.tokens.tokenizer)
    if model.checkpoint:
        work.console.print(f"the start: {model.checkpoint}", soft_wrap=True, markup=False)
    if loaded:
        work.console.print(str(loaded), soft_wrap=True, markup=False)
    objective = Pretraining(network, pretrain.objectives, group_numbers(catalog.items))
    if objective.heads.state_dict():  # neighbours in a feed would be unlike the strangers of training
        valid = stream(pretrain.seed, ORDER).permutation(valid)
    largest = max([model.image_side, *(side for _, side in pretrain.sampling.sides)])

    def say(line: str) -> None:
        work.console.print(line, soft_wrap=True, markup=False)

    def micro_batches(step: int, micro: int) -> Callable[[], list[Batch]]:
        rows, clock, side = train[order.at(step)[1]], order.clock(step), order.side(step)
        how = {"side": side, "augment": pretrain.augment, "any_picture": True}
        parts = cut(np.arange(len(rows)), micro or own, world.rank, world.size)
        begun = [begin(rows, clock, places, **how) for places in parts]
        soon = train[order.soon(step)]

        def finish_all() -> list[Batch]:
            catalog.shards.want(soon)  # now, since a batch may be begun long before the last ones are read
            return [finish() for finish in begun]

        return finish_all

    def begin(rows: Rows, clock: Rows, places: Rows, **how: Any) -> Callable[[], Batch]:
        """The listings at these places; a rank that has none takes part with one of which nothing counts."""
        at = places if len(places) else slice(1)
        how |= {"seed": pretrain.seed, "masking": pretrain.masking}
        batch = catalog.listings.start(rows[at], epoch=clock[at], **how)
        return batch if len(places) else lambda: batch().idle()

    def batches(first: int, micro_batch: int) -> Iterator[list[Batch]]:
        meter.begin(first)
        steps = range(first, order.steps)
        begun = ahead(lambda step: micro_batches(step, micro_batch), steps, depth)
        for step, made in zip(steps, begun, strict=True):
            world.note(step)
            yield made

    def again(step: int, micro_batch: int) -> list[Batch]:
        return micro_batches(step, micro_batch)()

    def held_out(step: int) -> Iterator[Batch] | None:
        due = step % (pretrain.validate_every * order.steps_per_epoch) == 0 or step == order.steps
        if not due or not len(valid):
            return None
        dealt = deal(np.arange(len(valid)), optim.micro_batch or optim.batch_size, world.rank, world.size)
        fixed = np.zeros(len(valid), np.int64)
        return ahead(lambda nth: begin(valid, fixed, dealt[nth]), range(len(dealt)), depth)

    parameters = sum(p.numel() for p in network.parameters())
    network.encoder.recompute = work.runtime.recompute
    plan = Plan(
        steps=0,
        optim=pretrain.optim,
        seed=pretrain.seed,
        layer_decay=pretrain.layer_decay,
        precision=model.precision,
        parallel=work.runtime.parallel,
        average=pretrain.average,
        patience=pretrain.patience,
        best=pretrain.result == "best",
        log_every=pretrain.log_every,
        side=lambda step, steps: side_at(pretrain.sampling.sides, step, steps),
    )
    saving = checkpoints_of(work, config_of(network), parameters, plan.best, plan.average is not None)
    with saving as checkpoints:
        asked = pretrain.optim.batch_size
        pretrain = with_sizes(pretrain, plan, objective, catalog, checkpoints, device, world, say)
        optim = pretrain.optim
        order = training_order(catalog, work.inputs["images"], pretrain, pretrain.epochs)
        plan = replace(plan, steps=order.steps, optim=optim)
        own = -(-optim.batch_size // world.size)  # listings of a step on this rank
        depth = catalog.listings.steps_ahead(own, largest)
        if work.runtime.compile:
            network.compile()
        if world.heard({"trains": not (work.folder / WEIGHTS).exists()}) == {"trains": True}:  # else killed after that
            gauge = Gauge(flops_of(network.shape, objective.weights), device, model.precision, world.size)
            seen = Meter(work, "pretrain", order.steps, pretrain.log_every, recipe, order.steps_per_epoch, gauge)
            with stoppable() as stop, seen as meter:
                outcome = fit(
                    objective,
                    batches,
                    plan,
                    work.folder,
                    checkpoints,
                    device,
                    world=world,
                    valid=held_out,
                    progress=meter,
                    skipped=keeping(work, objective, pretrain.objectives, plan, again, catalog.items, world, say),
                    say=say,
                    stop=stop,
                )
                if outcome.stopped:
                    raise stop.interrupted("pretrain")
            make_whole(objective.model)
            if world.chief:
                save_network(work.folder, network, objective.heads)
        if world.chief:
            checkpoints.finished(order.steps)
    if not world.chief:
        return {}
    rows = catalog.rows("train")
    return {
        "listings": len(train),
        "left_out": _left_out(catalog.shards.states[rows], catalog.listings.tokens.lengths[rows]),
        "parameters": parameters,
        "epochs": pretrain.epochs,
        "steps": order.steps,
        **({"batch_size": optim.batch_size} if asked == AUTO else {}),
        **ending(work.folder / METRICS, objective.weights, order.steps, plan.best),
        **({"bert": loaded.summary()} if loaded else {}),
    }


def _left_out(states: Any, lengths: Any) -> dict[str, int]:
    """Listings of the train part that pre-training doesn't see, by reason."""
    reasons = [
        f"picture {state}" if state != "present" else "no text"
        for state, length in zip(states, lengths, strict=True)
        if state != "present" or not length
    ]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}
