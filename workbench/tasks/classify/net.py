"""Which class a listing is in: the head, and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.classify.plain import Plain
from workbench.tasks.pooling import means_of
from workbench.tasks.tuned import Tuned


@dataclass(frozen=True)
class ClassBatch:
    """Listings and their classes."""

    batch: Batch
    holds_BK: Tensor  # bool, the classes that a listing has, or one of which it has

    def __len__(self) -> int:
        return len(self.holds_BK)

    def to(self, device: torch.device) -> ClassBatch:
        return ClassBatch(self.batch.to(device), self.holds_BK.to(device, non_blocking=True))


class ClassHead(nn.Module):
    """A linear layer on all three means side by side, brought to one scale; and what else says a class once it is
    tuned."""

    def __init__(self, width: int, classes: int, dropout: float = 0.0, plain: Plain | None = None) -> None:
        super().__init__()
        self.plain = plain
        self.norm = nn.LayerNorm(3 * width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(3 * width, classes)

    def forward(self, pooled_BX: Tensor) -> Tensor:
        """(B, classes) logits of the network alone; `Tuned.said` adds the rest."""
        logits: Tensor = self.out(self.dropout(self.norm(means_of(pooled_BX).flatten(1))))
        return logits


class ClassLoss:
    """Cross-entropy, averaged over the listings: of the classes that a listing may be in, whichever it is (one softmax
    over all classes); or, where it may be in several, of each class by itself, summed."""

    def __init__(self, model: Tuned, several: bool) -> None:
        self.model, self.several = model, several
        self.weights = {"class": 1.0}

    def counts(self, batch: ClassBatch) -> Mapping[str, int]:
        return {"class": len(batch)}

    def sums(self, batch: ClassBatch) -> Mapping[str, Tensor]:
        logits_BK: Tensor = self.model.heads["classify"](self.model.pooled(batch.batch)).float()
        if self.several:
            return {"class": F.binary_cross_entropy_with_logits(logits_BK, batch.holds_BK.float(), reduction="sum")}
        among_B = logits_BK.masked_fill(~batch.holds_BK, -torch.inf).logsumexp(1)
        return {"class": (logits_BK.logsumexp(1) - among_B).sum()}
