"""The training loop, flat and on one page; pre-training and every fine-tuning go through it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.errors import MlimError
from workbench.recipe.schema import Optim
from workbench.train import checkpoint
from workbench.train.optim import adamw, rate, set_rate
from workbench.train.task import Movable, Task


@dataclass(frozen=True)
class Plan:
    """How long and in which way to train."""

    steps: int
    optim: Optim
    seed: int
    layer_decay: float = 1.0
    bf16: bool = True
    log_every: int = 20
    checkpoint_every: int = 200


@dataclass(frozen=True)
class Progress:
    """What is known after a step; the times differ from run to run and never enter an artifact."""

    step: int
    losses: dict[str, float]  # none at most steps on a GPU, which nobody waits for
    samples: int  # listings or pairs in this step
    seconds: float  # of this step
    waited: float  # seconds of it spent waiting for data


def fit(
    task: Task[Any],
    batches: Callable[[int], Iterable[Sequence[Movable]]],
    plan: Plan,
    folder: Path,
    device: torch.device,
    *,
    validate: Callable[[int], dict[str, float] | None] = lambda step: None,
    progress: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train `task.model` and write `metrics.jsonl` and `checkpoint.safetensors` into `folder`.

    `batches(start)` yields the micro-batches of each optimizer step from step `start` on. Every step seeds the
    generator of dropout by (seed, step), so that a training resumed from the last checkpoint repeats the
    uninterrupted one to the last digit. Returns False when `stop()` asked for an end before the last step; the
    state is then saved. Raises MlimError when a loss is not finite: on a GPU when the next line is logged, and before
    any state is saved.
    """
    model = task.model.to(device).train()
    optimizer = adamw(model, plan.optim, plan.layer_decay)
    state, metrics = folder / "checkpoint.safetensors", folder / "metrics.jsonl"
    start = checkpoint.load(state, model, optimizer) if state.exists() else 0
    _truncate(metrics, start)

    with metrics.open("a") as log:
        before = time.perf_counter()
        unread: list[Tensor] = []
        for step, micro_batches in enumerate(batches(start), start):
            fetched = time.perf_counter()
            torch.manual_seed(_seed(plan.seed, step))
            set_rate(optimizer, rate(step, plan.steps, plan.optim))
            unread.append(train_step(task, optimizer, micro_batches, plan.optim.clip, plan.bf16, device))

            done = step + 1
            logged = done % plan.log_every == 0 or done == plan.steps
            losses: dict[str, float] = {}
            if logged or device.type == "cpu":  # reading a loss makes the CPU wait for a GPU
                *values, norm = _read(task, unread, done)
                losses = dict(zip(task.weights, values, strict=True))
            if logged:
                lr = plan.optim.lr * rate(step, plan.steps, plan.optim)
                _log(log, {"step": done, "lr": lr} | losses | {"grad_norm": norm})
            if (scores := validate(done)) is not None:
                _log(log, {"step": done} | scores)
                model.train()
            now = time.perf_counter()
            progress(Progress(done, losses, sum(map(len, micro_batches)), now - before, fetched - before))
            before = now
            stopping = stop()
            if done % plan.checkpoint_every == 0 or done == plan.steps or stopping:
                _read(task, unread, done)
                log.flush()
                checkpoint.save(state, model, optimizer, done)
            if stopping and done < plan.steps:
                return False
    return True


def train_step(
    task: Task[Any],
    optimizer: torch.optim.Optimizer,
    micro_batches: Sequence[Movable],
    clip: float,
    bf16: bool,
    device: torch.device,
) -> Tensor:
    """Forward, backward, clip, update: each of the task's losses, and the gradient's norm before it was clipped.

    In float64 and on the device: what it computes nobody waits for here.
    """
    counts = _totals(task, micro_batches)
    losses = torch.zeros(len(task.weights), dtype=torch.float64, device=device)
    for micro_batch in micro_batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            sums = task.sums(micro_batch.to(device))
        means = [sums[name] / max(counts[name], 1) for name in task.weights]
        weighted = [weight * mean for weight, mean in zip(task.weights.values(), means, strict=True)]
        torch.stack(weighted).sum().backward()  # type: ignore[no-untyped-call]
        losses += torch.stack(means).detach()
    norm = torch.nn.utils.clip_grad_norm_(task.model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return torch.cat([losses, norm[None]])


def _read(task: Task[Any], unread: list[Tensor], done: int) -> list[float]:
    """The last step's losses and norm, once those of all steps since the last reading were found to be finite; nothing
    if they were read before."""
    steps: list[list[float]] = torch.stack(unread).tolist() if unread else [[]]
    unread.clear()
    for step, values in enumerate(steps, done - len(steps) + 1):
        if not all(map(math.isfinite, values)):
            losses = dict(zip(task.weights, values[:-1], strict=True))
            raise MlimError(f"step {step}: losses {losses}, gradient norm {values[-1]}; lower the learning rate")
    return steps[-1]


def _totals(task: Task[Any], micro_batches: Sequence[Movable]) -> dict[str, int]:
    """Counts over the whole effective batch, before any forward pass."""
    totals = dict.fromkeys(task.weights, 0)
    for micro_batch in micro_batches:
        for name, count in task.counts(micro_batch).items():
            totals[name] += count
    return totals


def _seed(seed: int, step: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()) >> 1


def _log(log: Any, line: dict[str, float]) -> None:
    log.write(json.dumps(line) + "\n")


def _truncate(metrics: Path, step: int) -> None:
    """Drop the lines that a killed run logged after its last checkpoint."""
    lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    aside = metrics.with_name(metrics.name + ".tmp")
    aside.write_text("".join(kept))
    aside.rename(metrics)
