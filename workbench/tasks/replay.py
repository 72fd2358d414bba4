"""A step of pre-training that was left out, run again from what `train/bad_steps.py` kept of it, and looked at."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.artifacts.stage import Work
from workbench.batch import Batch
from workbench.errors import DataError
from workbench.model.encoder import Size
from workbench.model.mlim import Mlim, Shape
from workbench.recipe.schema import Objectives, Optim
from workbench.tasks.objective import Pretraining, group_numbers
from workbench.train.bad_steps import STEP, WEIGHTS, BadSteps
from workbench.train.checkpoint import read_weights
from workbench.train.loop import Plan, updates_of
from workbench.train.step import Precision
from workbench.train.watch import Watch, watching
from workbench.train.world import World


@dataclass(frozen=True)
class Pass:
    """One run of the step."""

    precision: Precision
    losses: Mapping[str, float]
    norm: float  # of the gradient
    by_listing: Mapping[int, Mapping[str, float]]  # row -> loss, of each listing
    watch: Watch
    gradients: Mapping[str, float]  # largest magnitude of each parameter's gradient

    @property
    def finite(self) -> bool:
        return all(map(math.isfinite, (*self.losses.values(), self.norm)))

    @property
    def rows(self) -> list[int]:
        """Of the listings a loss of which isn't finite."""
        return [row for row, losses in self.by_listing.items() if not all(map(math.isfinite, losses.values()))]


@dataclass(frozen=True)
class Replay:
    """What came of it."""

    folder: Path
    said: Mapping[str, Any]  # step.json
    listings: Mapping[int, Mapping[str, Any]]  # row -> id, title
    ranks: int  # of the step's ranks, those whose batches are here
    weights: Mapping[str, int]  # those that aren't finite: how many numbers of them
    inputs: Mapping[int, str]  # row -> what of the batch isn't finite
    passes: Sequence[Pass]  # as it was trained, then in fp32


class _Listening(Pretraining):
    """The objective, which also notes each listing's losses, and begins each rank's draws anew."""

    def __init__(self, *what: Any) -> None:
        super().__init__(*what)
        self.noted: dict[int, dict[str, float]] = {}
        self.watch = Watch()
        self.seeds: dict[int, int] = {}  # of the micro-batch, counted over all ranks, that is a rank's first
        self.done = 0

    def sums(self, batch: Batch) -> Mapping[str, Tensor]:
        if self.done in self.seeds:
            torch.manual_seed(self.seeds[self.done])
        self.done += 1
        rows = batch.rows_B.tolist()
        self.watch.rows_B = batch.rows_B.cpu()
        found = self.by_listing(batch)
        for name, losses_B in found.items():
            for row, loss in zip(rows, losses_B.tolist(), strict=True):
                known = self.noted.setdefault(row, {})
                known[name] = known.get(name, 0.0) + loss  # it may be drawn twice, or stand in where a rank has none
        return {name: losses_B.sum() for name, losses_B in found.items()}


def keeping(
    work: Work,
    objective: Pretraining,
    section: Objectives,
    plan: Plan,
    again: Callable[[int, int], Sequence[Batch]],
    items: pl.DataFrame,
    world: World,
    say: Callable[[str], None],
) -> BadSteps:
    """What keeps the bad steps of a pre-training, in CACHE/bad-steps."""
    network, numbers = objective.network, group_numbers(items)
    shape, dropout = dataclasses.asdict(network.shape), network.dropout.p

    def listings(rows: Sequence[int]) -> list[dict[str, Any]]:
        known = items[list(rows)]
        groups = numbers[list(rows)].tolist()
        return [
            {"row": row, "id": id_, "title": title, "group": group}
            for row, id_, title, group in zip(rows, known["id"], known["title"], groups, strict=True)
        ]

    about = {"shape": shape, "dropout": dropout, "objectives": section.model_dump(mode="json")}
    folder = work.runtime.cache / "bad-steps" / work.log.stem
    return BadSteps(folder, objective, plan, again, about, listings, say, world)


def replay(folder: Path, device: torch.device) -> Replay:
    """Run the step of a folder again, in the precision of its training and in fp32.

    Raises DataError for a folder that holds none.
    """
    try:
        said = json.loads((folder / STEP).read_text("utf-8"))
        ranks = [_batches(file) for file in sorted(folder.glob("batch-*.safetensors"))]
        listings = {listing["row"]: listing for _, about in ranks for listing in about["listings"]}
        task = _task(said, listings)
        read_weights(folder / WEIGHTS, task.model)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: no step that can be run again ({error}); expected a folder that a training told of when it "
            "left a step out (CACHE/bad-steps/…/step-…)"
        ) from None
    batches: list[Batch] = []
    for micro_batches, about in ranks:
        task.seeds[len(batches)] = about["seed"]
        batches += micro_batches
    bad = {name: int((~weight.isfinite()).sum()) for name, weight in task.model.named_parameters()}
    precisions: list[Precision] = list(dict.fromkeys([said["precision"], "fp32"]))
    return Replay(
        folder,
        said,
        listings,
        ranks=len(ranks),
        weights={name: count for name, count in bad.items() if count},
        inputs=_bad_inputs(batches),
        passes=[_run(task, batches, precision, said["scale"], device) for precision in precisions],
    )


def _run(task: _Listening, batches: Sequence[Batch], precision: Precision, scale: float, device: torch.device) -> Pass:
    updates = updates_of(task, Plan(1, Optim(), 0, precision=precision), device)
    if precision == "fp16":
        updates.scale.value.fill_(scale)
    task.noted, task.done = {}, 0
    with watching(task.model) as watch:
        task.watch = watch
        losses = updates.gradients(batches).tolist()
    parameters = [p for group in updates.optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in parameters]) / updates.scale.value)
    steep = {n: float(p.grad.abs().max()) for n, p in task.model.named_parameters() if p.grad is not None}
    updates.optimizer.zero_grad()
    return Pass(precision, dict(zip(task.weights, losses, strict=True)), norm, task.noted, watch, steep)


def _batches(file: Path) -> tuple[list[Batch], dict[str, Any]]:
    """A rank's micro-batches, its seed and what its listings are known by."""
    fields: list[dict[str, Tensor]] = []
    with safe_open(file, "pt") as tensors:
        about = {name: json.loads(words) for name, words in tensors.metadata().items()}
        for name in tensors.keys():  # noqa: SIM118 - not a dict
            nth, field = name.split(".")
            fields += [{} for _ in range(int(nth) + 1 - len(fields))]
            fields[int(nth)][field] = tensors.get_tensor(name)
    return [Batch(**of_one) for of_one in fields], about


def _task(said: Mapping[str, Any], listings: Mapping[int, Mapping[str, Any]]) -> _Listening:
    shape = said["shape"]
    network = Mlim(Shape(**shape | {"size": Size(**shape["size"])}), said["dropout"])
    groups_N = torch.full((max(listings) + 1,), -1)
    for row, listing in listings.items():
        groups_N[row] = listing["group"]
    return _Listening(network, Objectives(**said["objectives"]), groups_N)


def _bad_inputs(batches: Sequence[Batch]) -> dict[int, str]:
    """Listings that a network can't read: pixels that aren't finite, or nothing at all to attend to."""
    found = {}
    for batch in batches:
        for place, row in enumerate(batch.rows_B.tolist()):
            if not batch.pixels_BCHW[place].isfinite().all():
                found[row] = "its pixels aren't finite"
            elif not (batch.text_real_BL[place].any() or batch.has_image_B[place]):
                found[row] = "it has neither text nor picture"
    return found
