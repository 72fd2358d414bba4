"""Which class a listing is in: the network, its loss, and its tuning on the labelled listings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.batches.loader import Listings
from workbench.batches.order import Rows
from workbench.batches.weights import Frequencies, balanced
from workbench.evaluate.classes import macro_f1
from workbench.recipe.schema import Classify
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.tuned import Tuned


@dataclass(frozen=True)
class ClassBatch:
    """Listings and their classes."""

    batch: Batch
    class_B: Tensor  # int64

    def __len__(self) -> int:
        return len(self.class_B)

    def to(self, device: torch.device) -> ClassBatch:
        return ClassBatch(self.batch.to(device), self.class_B.to(device, non_blocking=True))


class ClassHead(nn.Module):
    """A linear layer."""

    def __init__(self, width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, classes)

    def forward(self, pooled_BD: Tensor) -> Tensor:
        """(B, classes) logits."""
        logits: Tensor = self.out(self.dropout(pooled_BD))
        return logits


class ClassLoss:
    """Cross-entropy, averaged over the listings."""

    def __init__(self, model: Tuned) -> None:
        self.model = model
        self.weights = {"class": 1.0}

    def counts(self, batch: ClassBatch) -> Mapping[str, int]:
        return {"class": len(batch)}

    def sums(self, batch: ClassBatch) -> Mapping[str, Tensor]:
        logits: Tensor = self.model.heads["classify"](self.model.pooled(batch.batch))
        return {"class": F.cross_entropy(logits.float(), batch.class_B, reduction="sum")}


@dataclass(frozen=True)
class ClassTuning:
    """The classify task as `tune` sees it."""

    section: Classify
    classes: int
    rows: Mapping[str, NDArray[np.int64]]  # rows of the labelled listings by part
    labels: Mapping[str, NDArray[np.int64]]  # and their classes
    groups: NDArray[np.str_]  # product groups of the training listings

    def heads(self, width: int) -> dict[str, nn.Module]:
        return {"classify": ClassHead(width, self.classes, self.section.dropout)}

    def objective(self, tuned: Tuned) -> ClassLoss:
        return ClassLoss(tuned)

    def frequencies(self, places: NDArray[np.int64], seed: int) -> Frequencies | None:
        strength = self.section.balance
        return balanced(self.labels["train"][places], strength, seed) if strength else None

    def start(self, listings: Listings, chosen: NDArray[np.int64], clock: Rows, seed: int) -> Callable[[], ClassBatch]:
        rows, how = self.rows["train"][chosen], self.section
        batch = listings.start(rows, epoch=clock, seed=seed, augment=how.augment, dropout=how.mdo, any_picture=True)
        labels = torch.from_numpy(self.labels["train"][chosen])
        return lambda: ClassBatch(batch(), labels)

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """(n, classes) logits of the held-out listings by part and reading."""
        found = {}
        for part in ("valid", "test"):
            for reading, lost in READINGS.items() if part == "test" else [("both", None)]:
                read = listings.batches(self.rows[part], size, dropout=lost)
                logits = [tuned.heads["classify"](tuned.pooled(batch.to(device))).float().cpu() for batch in read]
                found[scored(part, reading)] = torch.cat([*logits, torch.zeros(0, self.classes)])
        return found

    def outcome(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """How good the scores are on the valid part, for a person who waits."""
        truth = self.labels["valid"]
        if not len(truth):
            return "no labels in the valid part"
        f1 = macro_f1(truth, scores["valid"].argmax(1), self.classes, np.ones((1, len(truth))))
        return f"macro-F1 {f1[0]:.3f} on valid"
