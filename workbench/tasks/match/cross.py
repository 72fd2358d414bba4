"""The cross-encoder: both listings of a pair read in one sequence; slower than points on a sphere, more exact on close
calls. The network is the same, with the same weights at the start, since what tells the two listings apart begins at 0.
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
from workbench.tasks.match.net import PairBatch
from workbench.tasks.match.tuning import PairTuning, begin_pairs
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.tuned import Tuned


class CrossHead(nn.Module):
    """Log odds that two listings match, from their means in one sequence: scale * cosine + bias, and a correction that
    is 0 at the start. `width` is the encoder's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.which_2D = nn.Parameter(torch.zeros(2, width))
        self.scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-5.0))
        self.hidden = nn.Linear(2 * width, width)
        self.correction = nn.Linear(width, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, left_nD: Tensor, right_nD: Tensor) -> Tensor:
        """(n,)"""
        with torch.autocast(left_nD.device.type, enabled=False):
            both_n2D = torch.cat([(left_nD - right_nD).abs(), left_nD * right_nD], 1)
            corrected_n = self.correction(F.gelu(self.hidden(both_n2D)))[:, 0]
            cosine_n = F.cosine_similarity(left_nD, right_nD)
            return torch.add(cosine_n * self.scale.exp() + self.bias, corrected_n)


def scores(tuned: Tuned, pairs: PairBatch) -> Tensor:
    """(n,) log odds of a match: the mean of both orders, so the same both ways round; in training either, at random."""
    head, left_n, right_n = tuned.heads["cross"], pairs.left_n, pairs.right_n
    assert isinstance(head, CrossHead)
    if tuned.training:
        turned_n = torch.rand(len(pairs), device=left_n.device) < 0.5
        orders = (torch.where(turned_n, right_n, left_n), torch.where(turned_n, left_n, right_n))
    else:
        orders = (torch.cat([left_n, right_n]), torch.cat([right_n, left_n]))
    log_odds_m: Tensor = head(*tuned.network.encode_pairs(pairs.batch, *orders, head.which_2D))
    return log_odds_m.view(-1, len(pairs)).mean(0)


class CrossLoss:
    """Cross-entropy of the labelled pairs."""

    def __init__(self, model: Tuned) -> None:
        self.model = model
        self.weights = {"pairs": 1.0}

    def counts(self, batch: PairBatch) -> Mapping[str, int]:
        return {"pairs": len(batch)}

    def sums(self, batch: PairBatch) -> Mapping[str, Tensor]:
        log_odds_n = scores(self.model, batch)
        return {"pairs": F.binary_cross_entropy_with_logits(log_odds_n, batch.match_n, reduction="sum")}


@dataclass(frozen=True)
class CrossTuning(PairTuning):
    """The same pairs, read together; `width` is the encoder's."""

    width: int

    def heads(self, width: int) -> dict[str, nn.Module]:
        return {"cross": CrossHead(self.width)}

    def objective(self, tuned: Tuned) -> CrossLoss:  # type: ignore[override]
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
