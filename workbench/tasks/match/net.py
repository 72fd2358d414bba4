"""How alike two listings are: a head that places listings on a sphere, and its losses on pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.tuned import Tuned


@dataclass(frozen=True)
class PairBatch:
    """n labelled pairs of a batch's listings, each listing in it once."""

    batch: Batch
    left_n: Tensor  # int64, place of the left listing in the batch
    right_n: Tensor  # int64
    match_n: Tensor  # float, 1 where the two are the same product

    def __len__(self) -> int:
        return len(self.match_n)

    def to(self, device: torch.device) -> PairBatch:
        pairs = (t.to(device, non_blocking=True) for t in (self.left_n, self.right_n, self.match_n))
        return PairBatch(self.batch.to(device), *pairs)


class MatchHead(nn.Module):
    """A listing is a point on the sphere; the score of two is scale * cosine + bias, the log odds of a match."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-5.0))
        nn.init.eye_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, pooled_BD: Tensor) -> Tensor:
        """(B, D), each of length 1."""
        with torch.autocast(pooled_BD.device.type, enabled=False):  # bf16 can't tell near cosines apart
            return F.normalize(self.project(pooled_BD), dim=1)

    def scores(self, left_nD: Tensor, right_nD: Tensor) -> Tensor:
        """(n,) log odds that left and right match; the same both ways round."""
        return (left_nD * right_nD).sum(1) * self.scale.exp() + self.bias

    def all_scores(self, points_BD: Tensor) -> Tensor:
        """(B, B) log odds for every two listings of a batch."""
        with torch.autocast(points_BD.device.type, enabled=False):
            return points_BD @ points_BD.T * self.scale.exp() + self.bias


class PairLoss:
    """Cross-entropy of the labelled pairs, and of finding a listing's match among all listings of the batch."""

    def __init__(self, model: Tuned) -> None:
        self.model = model
        head = model.heads["match"]
        assert isinstance(head, MatchHead)
        self.head = head
        self.weights = {"pairs": 1.0, "in_batch": 1.0}

    def counts(self, batch: PairBatch) -> Mapping[str, int]:
        return {"pairs": len(batch), "in_batch": 2 * int(batch.match_n.sum())}

    def sums(self, batch: PairBatch) -> Mapping[str, Tensor]:
        scores_BB = self.head.all_scores(self.head(self.model.pooled(batch.batch)))
        scores_n = scores_BB[batch.left_n, batch.right_n]
        others_BB = scores_BB - torch.diag(torch.full_like(scores_BB[0], torch.inf))  # no listing is its own match
        left, right = batch.left_n[batch.match_n > 0], batch.right_n[batch.match_n > 0]
        return {
            "pairs": F.binary_cross_entropy_with_logits(scores_n, batch.match_n, reduction="sum"),
            "in_batch": F.cross_entropy(others_BB[left], right, reduction="sum")
            + F.cross_entropy(others_BB[right], left, reduction="sum"),
        }
