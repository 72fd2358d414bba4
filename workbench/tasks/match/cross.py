"""The cross-encoder: both listings of a pair read in one sequence; slower than points on a sphere, more exact on close
calls. The network is the same, with the same weights at the start. What tells the two listings apart begins at 0, as
does what their reading adds to the log odds of their points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batches.loader import Listings, ahead
from workbench.batches.order import Rows
from workbench.recipe.schema import ModalityDropout
from workbench.tasks.match.net import MatchHead, PairBatch, PairLoss
from workbench.tasks.match.tuning import PairTuning, begin_pairs
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.tuned import Tuned


class CrossHead(nn.Module):
    """What reading two listings together adds to the log odds that their points give; 0 at the start. `width` is the
    encoder's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.which_2D = nn.Parameter(torch.zeros(2, width))
        self.hidden = nn.Linear(2 * width, width)
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, left_nD: Tensor, right_nD: Tensor) -> Tensor:
        """(n,) from the means of both in their sequence."""
        with torch.autocast(left_nD.device.type, enabled=False):
            both_n2D = torch.cat([(left_nD - right_nD).abs(), left_nD * right_nD], 1)
            added_n1: Tensor = self.out(F.gelu(self.hidden(both_n2D)))
            return added_n1[:, 0]


def scores(tuned: Tuned, pairs: PairBatch) -> Tensor:
    """(n,) log odds of a match: those of the points, and what the network adds when it reads both together."""
    return together(tuned, pairs, heads_of(tuned)[0](tuned.pooled(pairs.batch)))


def together(tuned: Tuned, pairs: PairBatch, points_BD: Tensor) -> Tensor:
    """The same from the points of the batch's listings. What is added is the mean of both orders, so the same both ways
    round; in training that of either, at random."""
    (head, cross), left_n, right_n = heads_of(tuned), pairs.left_n, pairs.right_n
    if tuned.training:
        turned_n = torch.rand(len(pairs), device=left_n.device) < 0.5
        orders = (torch.where(turned_n, right_n, left_n), torch.where(turned_n, left_n, right_n))
    else:
        orders = (torch.cat([left_n, right_n]), torch.cat([right_n, left_n]))
    added_m: Tensor = cross(*tuned.network.encode_pairs(pairs.batch, *orders, cross.which_2D))
    return head.scores(points_BD[left_n], points_BD[right_n]) + added_m.view(-1, len(pairs)).mean(0)


def heads_of(tuned: Tuned) -> tuple[MatchHead, CrossHead]:
    head, cross = tuned.heads["match"], tuned.heads["cross"]
    assert isinstance(head, MatchHead) and isinstance(cross, CrossHead)
    return head, cross


class CrossLoss(PairLoss):
    """The losses of the points, which teach more than the labelled pairs do, and the cross-entropy of the pairs read
    together."""

    def __init__(self, model: Tuned) -> None:
        super().__init__(model)
        self.weights = {**self.weights, "cross": 1.0}

    def counts(self, batch: PairBatch) -> Mapping[str, int]:
        return {**super().counts(batch), "cross": len(batch)}

    def sums(self, batch: PairBatch) -> Mapping[str, Tensor]:
        points_BD = self.head(self.model.pooled(batch.batch))
        log_odds_n = together(self.model, batch, points_BD)
        cross = F.binary_cross_entropy_with_logits(log_odds_n, batch.match_n, reduction="sum")
        return {**self.of_points(batch, points_BD), "cross": cross}


@dataclass(frozen=True)
class CrossTuning(PairTuning):
    """The same pairs, also read together."""

    def heads(self, width: int) -> dict[str, nn.Module]:
        return {**super().heads(width), "cross": CrossHead(width)}

    def objective(self, tuned: Tuned) -> CrossLoss:
        return CrossLoss(tuned)

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """(n,) log odds of the held-out pairs by part and reading; `size` pairs are read at once."""
        return {
            scored(part, reading): score_rows(tuned, listings, device, size, pairs.rows, lost)
            for part, pairs in self.held_out.items()
            for reading, lost in (READINGS.items() if part == "test" else [("both", None)])
        }


@torch.no_grad()
def score_rows(
    tuned: Tuned,
    listings: Listings,
    device: torch.device,
    size: int,
    rows_n2: Rows,
    lost: ModalityDropout | None = None,
) -> Tensor:
    """(n,) log odds of pairs of the catalog's rows, `size` of them at a time."""

    def begin(first: int) -> Callable[[], PairBatch]:
        return begin_pairs(listings, rows_n2[first : first + size], dropout=lost)

    found = [scores(tuned, pairs.to(device)) for pairs in ahead(begin, range(0, len(rows_n2), size))]
    return torch.cat([torch.zeros(0), *(x.float().cpu() for x in found)])
