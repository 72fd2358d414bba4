"""The loss of filling in attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.fill.ask import scores
from workbench.tasks.tuned import Tuned


@dataclass(frozen=True)
class FillBatch:
    """Listings, and which attribute is asked of each; they still have it."""

    batch: Batch
    attribute_B: Tensor  # int64, place of the attribute
    value_B: Tensor  # int64, place of what it is among the values of all attributes

    def __len__(self) -> int:
        return len(self.value_B)

    def to(self, device: torch.device) -> FillBatch:
        moved = (t.to(device, non_blocking=True) for t in (self.attribute_B, self.value_B))
        return FillBatch(self.batch.to(device), *moved)


class SaysWords(nn.Module):
    """No head of its own: the network's language head says the words."""


class FillLoss:
    """Cross-entropy among the values of the attribute that is asked, averaged over the listings. Where words are said,
    values of all lengths compete as they do when it is asked: how many words an answer has must not be a hint."""

    def __init__(self, model: Tuned, told: Mapping[str, Any]) -> None:
        self.model, self.told = model, told
        self.weights = {"value": 1.0}

    def counts(self, batch: FillBatch) -> Mapping[str, int]:
        return {"value": len(batch)}

    def sums(self, batch: FillBatch) -> Mapping[str, Tensor]:
        scores_BV = scores(self.model, batch.batch, batch.attribute_B, self.told)
        return {"value": F.cross_entropy(scores_BV, batch.value_B, reduction="sum")}
