"""Tuning one network for several tasks: each batch holds labels of all of them, in proportion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.batches.loader import Listings
from workbench.batches.order import Rows
from workbench.batches.weights import Draws
from workbench.recipe.schema import Task as Section
from workbench.tasks.tune import Scores, Tuning
from workbench.tasks.tuned import Tuned
from workbench.train.task import Movable, Task

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TogetherBatch:
    """The labels of each task that has any in the batch."""

    of: Mapping[str, Movable]

    def __len__(self) -> int:
        return sum(map(len, self.of.values()))

    def to(self, device: torch.device) -> TogetherBatch:
        return TogetherBatch({task: batch.to(device) for task, batch in self.of.items()})


class TogetherLoss:
    """The sum of the tasks' losses, "<task>.<name>", each averaged over what it counts."""

    def __init__(self, model: Tuned, losses: Mapping[str, Task[Any]]) -> None:
        self.model = model
        self.losses = losses
        self.weights = {
            f"{task}.{name}": weight for task, own in losses.items() for name, weight in own.weights.items()
        }

    def counts(self, batch: TogetherBatch) -> Mapping[str, int]:
        found = {f"{t}.{name}": n for t, own in batch.of.items() for name, n in self.losses[t].counts(own).items()}
        return dict.fromkeys(self.weights, 0) | found

    def sums(self, batch: TogetherBatch) -> Mapping[str, Tensor]:
        found = {f"{t}.{name}": x for t, own in batch.of.items() for name, x in self.losses[t].sums(own).items()}
        nothing = torch.zeros((), device=next(self.model.parameters()).device)
        return dict.fromkeys(self.weights, nothing) | found


@dataclass(frozen=True, eq=False)
class Mixture:
    """Draws of each task's labels as that task has it; all of them lie one task after another."""

    counts: tuple[int, ...]
    draws: tuple[Draws | None, ...]  # None: each label once an epoch

    def draw(self, seed: int, epoch: int, places: NDArray[np.integer]) -> tuple[Ints, Ints]:
        things, visits = places.astype(np.int64), np.zeros(len(places), np.int64)
        for (first, chosen), own in zip(_split(places, self.counts), self.draws, strict=True):
            if own is not None and chosen.any():
                found, visits[chosen] = own.draw(seed, epoch, places[chosen] - first)
                things[chosen] = found + first
        return things, visits


@dataclass(frozen=True)
class TogetherTuning:
    """Several tasks as `tune` sees them: as one, whose labels are those of all."""

    section: Section
    parts: Mapping[str, Tuning]

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Training labels of each task."""
        return tuple(len(part.groups) for part in self.parts.values())

    @property
    def groups(self) -> NDArray[np.str_]:
        return np.concatenate([part.groups for part in self.parts.values()])

    def heads(self, width: int) -> dict[str, nn.Module]:
        return {name: head for part in self.parts.values() for name, head in part.heads(width).items()}

    def objective(self, tuned: Tuned) -> TogetherLoss:
        return TogetherLoss(tuned, {task: part.objective(tuned) for task, part in self.parts.items()})

    def frequencies(self, places: Ints, seed: int) -> Mixture:
        split = list(_split(places, self.counts))
        draws = [
            p.frequencies(places[at] - first, seed) for p, (first, at) in zip(self.parts.values(), split, strict=True)
        ]
        return Mixture(tuple(int(at.sum()) for _, at in split), tuple(draws))

    def start(self, listings: Listings, chosen: Ints, clock: Rows, seed: int) -> Callable[[], TogetherBatch]:
        begun = {
            task: part.start(listings, chosen[at] - first, clock[at], seed)
            for (task, part), (first, at) in zip(self.parts.items(), _split(chosen, self.counts), strict=True)
            if at.any()
        }
        return lambda: TogetherBatch({task: finish() for task, finish in begun.items()})

    def finish(self, tuned: Tuned, listings: Listings, chosen: Ints, device: torch.device, size: int) -> None:
        for part, (first, at) in zip(self.parts.values(), _split(chosen, self.counts), strict=True):
            part.finish(tuned, listings, chosen[at] - first, device, size)

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """Those of each task, named "<task>/<its name>"."""
        found = {task: part.scores(tuned, listings, device, size) for task, part in self.parts.items()}
        return {f"{task}/{name}": values for task, own in found.items() for name, values in own.items()}

    def outcome(self, scores: Scores) -> str:
        return "; ".join(f"{task}: {part.outcome(of_task(task, scores))}" for task, part in self.parts.items())


def of_task(task: str, scores: Scores) -> Scores:
    """Its scores, as its own `Tuning` named them."""
    start = f"{task}/"
    return {name.removeprefix(start): values for name, values in scores.items() if name.startswith(start)}


def _split(places: NDArray[np.integer], counts: tuple[int, ...]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The first place of each task, and which of these places are its own."""
    for end, count in zip(np.cumsum(counts).tolist(), counts, strict=True):
        yield end - count, (places >= end - count) & (places < end)
