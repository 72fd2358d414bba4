"""Queries and answers as points on a sphere: the head, and the contrastive loss that draws those together that belong
together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.pooling import means_of
from workbench.tasks.tuned import Tuned

SHARPEST = math.log(100.0)  # of the learnt scale, as in CLIP (Radford et al. 2021)
_NEVER = -1e4  # in place of minus infinity, whose gradients aren't numbers


@dataclass(frozen=True)
class QueryBatch:
    """n queries, each with one of its answers."""

    queries: Batch
    answers: Batch
    product_n: Tensor  # int64, of each query and its answer
    side_2n: Tensor  # int64, of the queries and of the answers: equal ones don't ask each other

    def __len__(self) -> int:
        return len(self.product_n)

    def to(self, device: torch.device) -> QueryBatch:
        product, side = (t.to(device, non_blocking=True) for t in (self.product_n, self.side_2n))
        return QueryBatch(self.queries.to(device), self.answers.to(device), product, side)


class RetrieveHead(nn.Module):
    """A listing is a point on the sphere; two are the more alike the higher scale * cosine.

    What is there of it as a whole, its text and its picture, each as it was read beside the other, are on spheres of
    their own; the cosine of two listings is their weighed mean. So a text finds the like text whatever picture stands
    beside it, and by the whole a text finds a picture. What isn't there is zeros, and the others have all the weight.
    """

    def __init__(self, width: int, temperature: float = 0.05) -> None:
        super().__init__()
        self.projects = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.weights = nn.Parameter(torch.zeros(3))
        self.scale = nn.Parameter(torch.tensor(1 / temperature).log())
        for project in self.projects:
            nn.init.eye_(project.weight)  # type: ignore[arg-type]
            nn.init.zeros_(project.bias)  # type: ignore[arg-type]

    def forward(self, pooled_BX: Tensor) -> Tensor:
        """(B, 3D), each of length 1."""
        pooled_B3D = means_of(pooled_BX)
        with torch.autocast(pooled_B3D.device.type, enabled=False):  # bf16 can't tell near cosines apart
            there_B3 = (pooled_B3D != 0).any(2)
            roots_B3 = (self.weights.where(there_B3, -torch.inf).log_softmax(1) / 2).exp()
            points_B3D = torch.stack([own(pooled_B3D[:, nth]) for nth, own in enumerate(self.projects)], 1)
            # What isn't there is 0 at the start, from where F.normalize would have gradients of 1e12.
            points_B3D = F.normalize(points_B3D.where(there_B3[:, :, None], 1), dim=2)
            return (points_B3D * roots_B3[:, :, None]).flatten(1)

    def scores(self, queries_qD: Tensor, answers_aD: Tensor) -> Tensor:
        """(q, a) of every query and every answer."""
        with torch.autocast(queries_qD.device.type, enabled=False):
            return queries_qD @ answers_aD.T * self.scale.clamp(max=SHARPEST).exp()


class ContrastiveLoss:
    """InfoNCE both ways, of a query among the batch's answers and of an answer among its queries.

    All answers that belong to a query are right, and are held against the wrong ones alone, never against each other;
    their losses are averaged. A listing of the query's product that is no answer to it is left out.
    """

    def __init__(self, model: Tuned) -> None:
        self.model = model
        head = model.heads["retrieve"]
        assert isinstance(head, RetrieveHead)
        self.head = head
        self.weights = {"contrast": 1.0}

    def counts(self, batch: QueryBatch) -> Mapping[str, int]:
        return {"contrast": 2 * len(batch)}

    def sums(self, batch: QueryBatch) -> Mapping[str, Tensor]:
        points = [self.head(self.model.pooled(side)) for side in (batch.queries, batch.answers)]
        scores_nn = self.head.scores(*points)
        alike_nn = batch.product_n[:, None] == batch.product_n
        right_nn = alike_nn & (batch.side_2n[0][:, None] != batch.side_2n[1])
        return {"contrast": _contrast(scores_nn, right_nn, ~alike_nn) + _contrast(scores_nn.T, right_nn.T, ~alike_nn.T)}


def _contrast(scores_nn: Tensor, right_nn: Tensor, wrong_nn: Tensor) -> Tensor:
    """Sum over the rows of the mean over the right ones of -log(exp(right) / (exp(right) + sum of exp(wrong)))."""
    against_n1 = scores_nn.masked_fill(~wrong_nn, _NEVER).logsumexp(1, keepdim=True)
    losses_nn = F.softplus(against_n1 - scores_nn) * right_nn
    return (losses_nn.sum(1) / right_nn.sum(1).clamp(min=1)).sum()
