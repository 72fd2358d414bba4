"""How many listings a step can hold at once on this device: tried on the worst ones, before a training begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from workbench.errors import MlimError
from workbench.train.loop import Plan, updates_of
from workbench.train.memory import LEAST, out_of_memory, peak, room
from workbench.train.step import Updates
from workbench.train.task import Movable, Task
from workbench.train.world import ALONE, World


def largest(
    task: Task[Any],
    plan: Plan,
    worst: Callable[[int], Movable],
    most: int,
    device: torch.device,
    world: World = ALONE,
) -> int:
    """The largest micro-batch, a power of two or `most`, of which a step fits into the device's memory, with a margin;
    the least of all ranks'. Collective.

    `worst(size)` is the micro-batch of so many listings that takes the most. Weights, gradients, the optimizer and
    every generator are as before. Raises MlimError where one listing is too much.
    """
    with untouched(task, device):
        updates = updates_of(task, plan, device)  # as in one process: what several exchange is small beside it
        limit = room(device, world.local_size)
        world.total([0])  # all have looked before any takes
        fits, before, each = 0, float(limit), 0.0
        for size in _sizes(most):
            if fits and before + each * (size - fits) > limit:
                break
            if (taken := _taken(updates, worst(size), device)) > limit:
                break
            each = (taken - before) / (size - fits) if fits else 0.0  # known from two sizes on: gradients are in both
            fits, before = size, taken
        del updates
    of_all = world.total([fits if rank == world.rank else 0 for rank in range(world.size)])
    if not min(of_all):
        raise MlimError(f"one listing is too much for the {limit / 1e9:.2g} GB that are free: {LEAST}")
    return int(min(of_all))


@contextmanager
def untouched(task: Task[Any], device: torch.device) -> Iterator[None]:
    """Within it random numbers may be drawn and gradients left, and afterwards nobody knows."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    task.model.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _sizes(most: int) -> Iterator[int]:
    yield from (2**k for k in range((most - 1).bit_length()))
    yield most


def _taken(updates: Updates, batch: Movable, device: torch.device) -> float:
    """Bytes at the peak of two micro-batches, the second of which finds gradients; infinite if there aren't so many."""

    def twice() -> None:
        updates.gradients([batch, batch])

    try:
        return peak(device, twice)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return float("inf")
    finally:
        updates.optimizer.zero_grad(set_to_none=True)
