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
from workbench.model.mlim import Mlim
from workbench.recipe.schema import Classify
from workbench.tasks.metrics import macro_f1
from workbench.tasks.network import mean_of_tokens


@dataclass(frozen=True)
class ClassBatch:
    """Listings and their classes."""

    batch: Batch
    class_B: Tensor  # int64

    def __len__(self) -> int:
        return len(self.class_B)

    def to(self, device: torch.device) -> ClassBatch:
        return ClassBatch(self.batch.to(device), self.class_B.to(device, non_blocking=True))


class ClassNet(nn.Module):
    """A linear layer over the mean of the encoder's outputs."""

    def __init__(self, network: Mlim, classes: int) -> None:
        super().__init__()
        self.network = network
        self.dropout = nn.Dropout(network.dropout.p)
        self.out = nn.Linear(network.shape.size.width, classes)

    def forward(self, batch: Batch) -> Tensor:
        """(B, classes) logits."""
        logits: Tensor = self.out(self.dropout(mean_of_tokens(batch, *self.network.encode(batch))))
        return logits


class ClassLoss:
    """Cross-entropy, averaged over the listings."""

    def __init__(self, model: ClassNet) -> None:
        self.model = model
        self.weights = {"class": 1.0}

    def counts(self, batch: ClassBatch) -> Mapping[str, int]:
        return {"class": len(batch)}

    def sums(self, batch: ClassBatch) -> Mapping[str, Tensor]:
        return {"class": F.cross_entropy(self.model(batch.batch).float(), batch.class_B, reduction="sum")}


@dataclass(frozen=True)
class ClassTuning:
    """The classify task as `tune` sees it."""

    section: Classify
    classes: int
    rows: Mapping[str, NDArray[np.int64]]  # rows of the labelled listings by part
    labels: Mapping[str, NDArray[np.int64]]  # and their classes
    groups: NDArray[np.str_]  # product groups of the training listings

    def objective(self, network: Mlim) -> ClassLoss:
        return ClassLoss(ClassNet(network, self.classes))

    def frequencies(self, places: NDArray[np.int64], seed: int) -> Frequencies | None:
        strength = self.section.balance
        return balanced(self.labels["train"][places], strength, seed) if strength else None

    def start(self, listings: Listings, chosen: NDArray[np.int64], clock: Rows, seed: int) -> Callable[[], ClassBatch]:
        rows, how = self.rows["train"][chosen], self.section
        batch = listings.start(rows, epoch=clock, seed=seed, augment=how.augment, dropout=how.mdo, any_picture=True)
        labels = torch.from_numpy(self.labels["train"][chosen])
        return lambda: ClassBatch(batch(), labels)

    def scores(self, model: nn.Module, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """(n, classes) logits of the held-out listings by part."""
        found = {}
        for part in ("valid", "test"):
            logits = [model(batch.to(device)).cpu() for batch in listings.batches(self.rows[part], size)]
            found[part] = torch.cat([*logits, torch.zeros(0, self.classes)])
        return found

    def outcome(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """How good the scores are on the valid part, for a person who waits."""
        truth = self.labels["valid"]
        if not len(truth):
            return "no labels in the valid part"
        f1 = macro_f1(truth, scores["valid"].argmax(1), self.classes, np.ones((1, len(truth))))
        return f"macro-F1 {f1[0]:.3f} on valid"
