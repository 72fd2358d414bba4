"""How alike two listings are: a head that places listings on a sphere, and its losses on pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.tuned import PICTURE, TEXT, Tuned


@dataclass(frozen=True)
class PairBatch:
    """n labelled pairs of a batch's listings, each listing in it once."""

    batch: Batch
    left_n: Tensor  # int64, place of the left listing in the batch
    right_n: Tensor  # int64
    match_n: Tensor  # float, 1 where the two are the same product
    product_B: Tensor  # int64, number of each listing's product

    def __len__(self) -> int:
        return len(self.match_n)

    def to(self, device: torch.device) -> PairBatch:
        own = (self.left_n, self.right_n, self.match_n, self.product_B)
        return PairBatch(self.batch.to(device), *(t.to(device, non_blocking=True) for t in own))


class MatchHead(nn.Module):
    """A listing is a point on the sphere; the score of two is scale * cosine + bias, the log odds of a match.

    Its text and its picture, as each was read beside the other, are on spheres of their own; the cosine of two listings
    is their weighed mean. So neither has to be found within the other, which pays (docs/log.md). Where one is
    missing, its half is zeros and the other has all the weight.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * width, 2 * width)
        self.weights = nn.Parameter(torch.zeros(2))
        self.scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-5.0))
        nn.init.eye_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, pooled_B3D: Tensor) -> Tensor:
        """(B, 2D), each of length 1; zeros for a listing of which there is nothing."""
        with torch.autocast(pooled_B3D.device.type, enabled=False):  # bf16 can't tell near cosines apart
            read_B2D = pooled_B3D[:, [TEXT, PICTURE]]
            there_B2 = (read_B2D != 0).any(2)
            known_B2 = there_B2 | ~there_B2.any(1, keepdim=True)
            root_B2 = (self.weights.where(known_B2, -torch.inf).log_softmax(1) / 2).exp() * there_B2
            both_B2D = self.project(read_B2D.flatten(1)).unflatten(1, (2, -1))
            # What isn't there is 0 at the start, from where F.normalize would have gradients of 1e12.
            both_B2D = F.normalize(both_B2D.where(there_B2[:, :, None], 1), dim=2)
            return (both_B2D * root_B2[:, :, None]).flatten(1)

    def scores(self, left_nD: Tensor, right_nD: Tensor) -> Tensor:
        """(n,) log odds that left and right match; the same both ways round."""
        return (left_nD * right_nD).sum(1) * self.scale.exp() + self.bias

    def all_scores(self, points_BD: Tensor) -> Tensor:
        """(B, B) log odds for every two listings of a batch."""
        with torch.autocast(points_BD.device.type, enabled=False):
            return points_BD @ points_BD.T * self.scale.exp() + self.bias


class PairLoss:
    """Cross-entropy of the labelled pairs, and of finding a listing's match among the other products of the batch."""

    def __init__(self, model: Tuned) -> None:
        self.model = model
        head = model.heads["match"]
        assert isinstance(head, MatchHead)
        self.head = head
        self.weights = {"pairs": 1.0, "in_batch": 1.0}

    def counts(self, batch: PairBatch) -> Mapping[str, int]:
        return {"pairs": len(batch), "in_batch": 2 * int(batch.match_n.sum())}

    def sums(self, batch: PairBatch) -> Mapping[str, Tensor]:
        return self.of_points(batch, self.head(self.model.pooled(batch.batch)))

    def of_points(self, batch: PairBatch, points_BD: Tensor) -> dict[str, Tensor]:
        """From the points of the batch's listings."""
        scores_BB = self.head.all_scores(points_BD)
        matches = batch.match_n > 0
        asked_m = torch.cat([batch.left_n[matches], batch.right_n[matches]])
        answer_m = torch.cat([batch.right_n[matches], batch.left_n[matches]])
        # A further listing of the product is no wrong answer, nor is a listing its own match.
        wrong_mB = batch.product_B[asked_m][:, None] != batch.product_B
        open_mB = wrong_mB.scatter(1, answer_m[:, None], True)
        return {
            "pairs": F.binary_cross_entropy_with_logits(
                scores_BB[batch.left_n, batch.right_n], batch.match_n, reduction="sum"
            ),
            "in_batch": F.cross_entropy(
                scores_BB[asked_m].masked_fill(~open_mB, -torch.inf), answer_m, reduction="sum"
            ),
        }
