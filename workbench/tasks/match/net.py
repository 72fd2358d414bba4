"""How alike two listings are: a head that places listings on a sphere, and its losses on pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.pooling import PICTURE, PIXELS, TEXT, WORDS, means_of
from workbench.tasks.tuned import Tuned

QUICK = 10.0  # times the optimizer's rate, for numbers that each stand for much
HIDDEN = 64


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
    """A listing is a point on the sphere, of four parts that are spheres of their own: its text and its picture, as
    each was read beside the other, its words and its pixels as they are. The log odds of a match are scale * cosine +
    bias, the cosine being the weighed mean of the parts', and a correction by what the two differ in, 0 at the start:
    that one word differs may be all that matters.

    Parts, since nothing has to be found within the others; words and pixels, since few labels teach a network little of
    words that it hardly knows (docs/log.md). What is missing is zeros, and the others have its weight.
    """

    def __init__(self, width: int, rarity: Tensor | None = None) -> None:
        """`rarity`: (WORDS,) log weights of the words at the start; 0 by default."""
        super().__init__()
        self.project = nn.Linear(2 * width, 2 * width)
        self.weights = nn.Parameter(torch.zeros(4))
        self.rarity = nn.Parameter((torch.zeros(WORDS) if rarity is None else rarity) / QUICK)
        self.scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-5.0))
        self.hidden = nn.Linear(4 * width, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        self.words = nn.Parameter(torch.zeros(2 * WORDS))
        self.shares = nn.Parameter(torch.zeros(8))
        nn.init.eye_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, pooled_BX: Tensor) -> Tensor:
        """(B, 2D + WORDS + PIXELS), each of length 1; zeros for a listing of which there is nothing."""
        with torch.autocast(pooled_BX.device.type, enabled=False):  # bf16 can't tell near cosines apart
            read_B2D = means_of(pooled_BX)[:, [TEXT, PICTURE]]
            raw = pooled_BX[:, -WORDS - PIXELS : -PIXELS] * (QUICK * self.rarity).exp(), pooled_BX[:, -PIXELS:]
            there_B4 = torch.stack([(part != 0).any(1) for part in (*read_B2D.unbind(1), *raw)], 1)
            known_B4 = there_B4 | ~there_B4.any(1, keepdim=True)
            weights_4 = QUICK * self.weights
            root_B4 = (weights_4.where(known_B4, -torch.inf).log_softmax(1) / 2).exp() * there_B4
            own_B2D = self.project(read_B2D.flatten(1)).unflatten(1, (2, -1))
            # What isn't there is 0 at the start, from where F.normalize would have gradients of 1e12.
            own_B2D = own_B2D.where(there_B4[:, :2, None], 1)
            parts = [F.normalize(part, dim=1) for part in (*own_B2D.unbind(1), *raw)]
            return torch.cat([part * root_B4[:, nth : nth + 1] for nth, part in enumerate(parts)], 1)

    def scores(self, left_nD: Tensor, right_nD: Tensor) -> Tensor:
        """(n,) log odds that left and right match; the same both ways round."""
        with torch.autocast(left_nD.device.type, enabled=False):
            return (left_nD * right_nD).sum(1) * self.scale.exp() + self.bias + self.corrected(left_nD, right_nD)

    def corrected(self, left_nD: Tensor, right_nD: Tensor) -> Tensor:
        """(n,) what is added to the log odds for what the two have in common and what only one has."""
        common_nD, apart_nD = left_nD * right_nD, (left_nD - right_nD).abs()
        sizes = [self.project.out_features // 2] * 2 + [WORDS, PIXELS]
        of_network = sum(sizes[:2])
        hidden_nH = self.hidden(8 * torch.cat([apart_nD[:, :of_network], common_nD[:, :of_network]], 1))
        words = slice(of_network, of_network + WORDS)
        differ_n = torch.cat([apart_nD[:, words], common_nD[:, words]], 1) @ (8 * QUICK * self.words)
        cosines_n4 = torch.stack([part.sum(1) for part in torch.split(common_nD, sizes, 1)], 1)
        shares_n8 = torch.cat([cosines_n4, shares(left_nD[:, words] > 0, right_nD[:, words] > 0)], 1)
        of_parts_n: Tensor = self.out(F.gelu(hidden_nH))[:, 0]
        return of_parts_n + differ_n + shares_n8 @ (4 * QUICK * self.shares)

    def all_scores(self, points_BD: Tensor) -> Tensor:
        """(B, B) log odds for every two listings of a batch by their cosine alone."""
        with torch.autocast(points_BD.device.type, enabled=False):
            return points_BD @ points_BD.T * self.scale.exp() + self.bias


def shares(left_nW: Tensor, right_nW: Tensor) -> Tensor:
    """(n, 4) of the words (bool) that two listings have: the common ones' share of all, and of those of the one that
    has fewer; how many each has that the other lacks, the fewer and the more of the two."""
    common_n = (left_nW & right_nW).float().sum(1)
    counts_n2 = torch.stack([left_nW.float().sum(1), right_nW.float().sum(1)], 1)
    fewer_n, more_n = counts_n2.amin(1), counts_n2.amax(1)
    of_all_n = common_n / (fewer_n + more_n - common_n).clamp(min=1)
    return torch.stack([of_all_n, common_n / fewer_n.clamp(min=1), fewer_n - common_n, (more_n - common_n) / 4], 1)


class PairLoss:
    """Cross-entropy of the labelled pairs, of the same by their cosine alone, by which neighbours are found, and of
    finding a listing's match among the other products of the batch by it."""

    def __init__(self, model: Tuned) -> None:
        self.model = model
        head = model.heads["match"]
        assert isinstance(head, MatchHead)
        self.head = head
        self.weights = {"pairs": 1.0, "points": 0.5, "in_batch": 1.0}

    def counts(self, batch: PairBatch) -> Mapping[str, int]:
        return {"pairs": len(batch), "points": len(batch), "in_batch": 2 * int(batch.match_n.sum())}

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
        judged = (
            self.head.scores(points_BD[batch.left_n], points_BD[batch.right_n]),
            scores_BB[batch.left_n, batch.right_n],
        )
        pairs, points = (F.binary_cross_entropy_with_logits(n, batch.match_n, reduction="sum") for n in judged)
        return {
            "pairs": pairs,
            "points": points,
            "in_batch": F.cross_entropy(
                scores_BB[asked_m].masked_fill(~open_mB, -torch.inf), answer_m, reduction="sum"
            ),
        }
