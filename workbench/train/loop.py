"""The training loop, flat and on one page; pre-training and every fine-tuning go through it."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from workbench.errors import ArtifactError, MlimError
from workbench.model.compiled import compiled
from workbench.recipe.schema import Optim
from workbench.train.average import averaged, swap
from workbench.train.checkpoint import METRICS, Position
from workbench.train.checkpoints import Checkpoints
from workbench.train.found import Found, Unread
from workbench.train.memory import halved
from workbench.train.metrics_log import MetricsLog
from workbench.train.optim import adamw, fork, rate, set_rate
from workbench.train.prolong import announcement, planned, shared
from workbench.train.scale import LossScale
from workbench.train.spread import Parallel, spread
from workbench.train.state import gathered, restore
from workbench.train.step import Precision, Updates
from workbench.train.task import Movable, Task
from workbench.train.world import ALONE, World

Batches = Callable[[int, int], Iterable[Sequence[Movable]]]


@dataclass(frozen=True)
class Plan:
    """How long and in which way to train."""

    steps: int
    optim: Optim
    seed: int
    layer_decay: float = 1.0
    precision: Precision = "bf16"
    parallel: Parallel = "replicate"
    average: float | None = None
    patience: int | None = None
    best: bool = False  # the weights of the best validation stay, not the last
    log_every: int = 20
    side: Callable[[int, int], int | None] = lambda step, steps: None  # of the pictures, at a step of so many


@dataclass(frozen=True)
class Progress:
    """What is known after a step; the times differ from run to run and never enter an artifact."""

    position: Position
    losses: dict[str, float]  # none at most steps on a GPU, which nobody waits for, nor where one isn't finite
    samples: int  # listings or pairs in this step, of all ranks
    seconds: float  # of this step and what came after it
    waited: float  # seconds of these spent waiting for data
    validated: float  # for the validation
    saved: float  # for the checkpoint
    lr: float  # highest learning rate at this step
    norm: float | None  # of the gradient before it was clipped; None where the losses are none
    valid: dict[str, float]  # means of the validation after this step, if there was one
    batches: Sequence[Movable]  # this rank's micro-batches

    @property
    def step(self) -> int:
        return self.position.step


@dataclass(frozen=True)
class Outcome:
    """How a training ended: at its last step, early since nothing got better, or when it was asked to stop."""

    position: Position
    stopped: bool = False
    early: bool = False


def fit(
    task: Task[Any],
    batches: Batches,
    plan: Plan,
    folder: Path,
    checkpoints: Checkpoints,
    device: torch.device,
    *,
    world: World = ALONE,
    valid: Callable[[int], Iterable[Movable] | None] = lambda step: None,
    progress: Callable[[Progress], None] = lambda progress: None,
    skipped: Callable[[Found, Position], None] = lambda found, position: None,
    say: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train `task.model`, write `metrics.jsonl` into `folder`, and leave the result in the model, spread as it is.

    `batches(step, micro_batch)` yields this rank's micro-batches of each optimizer step from `step` on, as many on each
    rank; `valid(step)` gives its share of the batches to validate with after a step, if that is due. Every step seeds
    the generator of dropout by (seed, step, rank), so that a training resumed from a checkpoint repeats the
    uninterrupted one to the last digit. `skipped` hears of each step that was left out since it wasn't finite: at once
    on a CPU, on a GPU when losses are next read; and of where the training stands then. `say` tells the user a line.
    Raises MlimError when more than `optim.bad_steps` in a row were, or where one listing is too much for the memory.
    """
    updates = updates_of(task, plan, device, world)
    optimizer, scale = updates.optimizer, updates.scale
    position, lines = _resume(checkpoints, plan, updates, say)
    log = MetricsLog(folder / METRICS if world.chief else None, lines, say)
    began, trained = time.perf_counter(), position.seconds
    unread = Unread(task.weights)

    before = began
    source = iter(batches(position.step, position.micro_batch))
    while position.step < plan.steps and not _in_vain(position, plan):
        micro_batches = next(source)
        fetched = time.perf_counter()
        torch.manual_seed(seed_of(plan.seed, position.step, world.rank))
        set_rate(optimizer, share := rate(position.step, plan.steps, plan.optim))
        if (values := updates.step(micro_batches)) is None:
            position = replace(position, micro_batch=halved(micro_batches, world, say))
            source = iter(batches(position.step, position.micro_batch))
            continue
        position = replace(position, step=position.step + 1, seconds=trained + time.perf_counter() - began)
        done, lr = position.step, plan.optim.lr * share
        unread.add(done, values)

        logged, held_out = done % plan.log_every == 0 or done == plan.steps, valid(done)
        waits = logged or held_out is not None or device.type == "cpu"  # for a GPU, to read its losses
        found = unread.read() if waits else []
        position = _account(position, found, plan, log, skipped)
        losses, norm = (found[-1].losses, found[-1].norm) if found and not found[-1].not_finite else ({}, None)
        if logged and losses:
            log.write({"step": done, "lr": lr} | losses | {"grad_norm": norm})
        stepped, scores = time.perf_counter(), evaluate(updates, held_out) if held_out is not None else {}
        if scores:
            position = _judge(position, sum(task.weights[name] * scores[name] for name in scores))
            log.write({"step": done} | {f"valid_{n}": x if math.isfinite(x) else None for n, x in scores.items()})
        validated = time.perf_counter() - stepped if scores else 0.0
        # One word of all, since they save together.
        own = sum(map(len, micro_batches))
        kept = "longer trainings may go on from here" if done == fork(plan.steps, plan.optim) else ""
        due = kept or (plan.best and position.best_step == done) or checkpoints.due(done, position.seconds)
        stopping, saving, samples = map(int, world.total([stop(), world.chief and bool(due), own]))
        saved, ends = 0.0, stopping or done == plan.steps or _in_vain(position, plan)
        if saving or ends:
            position = _account(position, unread.read(), plan, log, skipped)
            begun_saving = time.perf_counter()
            tensors = gathered(task.model, optimizer, world, checkpoints.room())
            if world.chief:
                now = replace(position, scale=scale.state())
                must = bool(stopping or (plan.best and position.best_step == done))  # else all would be lost with it
                checkpoints.save(tensors, now, log.content, why=kept, must=must)
            saved = time.perf_counter() - begun_saving
        times = time.perf_counter() - before, fetched - before, validated, saved
        progress(Progress(position, losses, samples, *times, lr, norm, scores, micro_batches))
        before = time.perf_counter()  # what is shown takes no time of the training
        if stopping and done < plan.steps:
            return Outcome(position, stopped=True)
    checkpoints.settle()
    if plan.best and position.best_step:
        _take_best(checkpoints, plan, updates, position.best_step)
    if plan.average:
        swap(optimizer)
    log.close()
    if early := position.step < plan.steps:
        say(f"ends early, at step {position.step} of {plan.steps}: the best validation is of step {position.best_step}")
    return Outcome(position, early=early)


def updates_of(task: Task[Any], plan: Plan, device: torch.device, world: World = ALONE) -> Updates:
    """The task's model on the device, spread over the world, and what updates it."""
    task.model.to(device).train()
    module = spread(task, world, plan.parallel)
    optimizer = adamw(task.model, plan.optim, plan.layer_decay, plan.average)
    scale = LossScale(plan.precision == "fp16", device)
    return Updates(task, module, optimizer, scale, world, device, plan.optim.clip, plan.precision, plan.average)


@torch.no_grad()
def evaluate(updates: Updates, batches: Iterable[Movable]) -> dict[str, float]:
    """Each of the task's losses averaged over the batches of all ranks, as many on each; by the averaged weights where
    there are any, without dropout."""
    task = updates.task
    sums, counts = dict.fromkeys(task.weights, 0.0), dict.fromkeys(task.weights, 0)
    updates.module.eval()
    with averaged(updates.optimizer), compiled(False):
        for batch in batches:
            for name, count in task.counts(batch).items():
                counts[name] += count
            for name, total in updates.module(batch.to(updates.device)).items():
                sums[name] += float(total)
    updates.module.train()
    total_sums, total_counts = (updates.world.total(list(own.values())) for own in (sums, counts))
    means = [total / max(count, 1) for total, count in zip(total_sums, total_counts, strict=True)]
    return dict(zip(sums, means, strict=True))


def _in_vain(position: Position, plan: Plan) -> bool:
    return plan.patience is not None and position.waited >= plan.patience


def _judge(position: Position, loss: float) -> Position:
    """After a validation."""
    if math.isfinite(loss) and (position.best is None or loss < position.best):
        return replace(position, best=loss, best_step=position.step, waited=0)
    return replace(position, waited=position.waited + 1)


def _resume(
    checkpoints: Checkpoints, plan: Plan, updates: Updates, say: Callable[[str], None]
) -> tuple[Position, bytes]:
    """Go on from the newest checkpoint that this training, at its present length, would have come by; its log too."""
    world, found = updates.world, None
    if world.chief:
        all_ = [checkpoint.position for checkpoint in checkpoints.all()]
        steps = {0, *(position.step for position in all_)}
        found = checkpoints.newest(lambda p: p.step <= shared(plan, p) and (p.best_step in steps or not plan.best))
        if line := announcement(plan, found.position if found else None, all_):
            say(line)
    said = world.heard(asdict(found.position) if found else None)
    if said is None:
        return planned(plan), b""
    restore(found.tensors if found else {}, updates.task.model, updates.optimizer, world)
    position = planned(plan, Position(**said))
    updates.scale.restore(position.scale)
    return position, found.metrics if found else b""


def _take_best(checkpoints: Checkpoints, plan: Plan, updates: Updates, step: int) -> None:
    """Back to the state of the best validation."""
    best = None
    if updates.world.chief and not (best := checkpoints.newest(lambda p: p.step == step <= shared(plan, p))):
        raise ArtifactError(f"{checkpoints.folder}: no checkpoint of the best validation's step, {step}")
    restore(best.tensors if best else {}, updates.task.model, updates.optimizer, updates.world)


def _account(
    position: Position, steps: Sequence[Found], plan: Plan, log: MetricsLog, skipped: Callable[[Found, Position], None]
) -> Position:
    """The position once these steps were looked at; those that were skipped are logged and counted."""
    for found in steps:
        if found.not_finite:
            log.write(found.line())
            skipped(found, position)
        in_a_row = position.in_a_row + found.bad if found.not_finite else 0
        position = replace(position, bad=position.bad + found.bad, in_a_row=in_a_row)
        if in_a_row > plan.optim.bad_steps:
            raise MlimError(
                f"step {found.step}: {' and '.join(found.not_finite)} not finite: {in_a_row} bad steps in a row are "
                f"more than optim.bad_steps, {plan.optim.bad_steps}, allows; lower optim.lr or lengthen the warmup; "
                "`mlim replay` tells what they have in common"
            )
    return position


def seed_of(seed: int, step: int, rank: int) -> int:
    """Of the generator of dropout at a step (from 0): each rank drops out other neurons."""
    words = f"{seed}/{step}" + (f"/{rank}" if rank else "")
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest()) >> 1
