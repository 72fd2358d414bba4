"""Tuning a network on pairs: batches of pairs, and the scores of held-out ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.batches.loader import Listings
from workbench.batches.order import Rows
from workbench.evaluate.binary import average_precision
from workbench.recipe.schema import Match
from workbench.tasks.match.net import MatchHead, PairBatch, PairLoss
from workbench.tasks.match.pairs import Pairs
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.tuned import Tuned


@dataclass(frozen=True)
class PairTuning:
    """The match task as `tune` sees it."""

    section: Match
    train: Pairs
    groups: NDArray[np.str_]  # (n,) product group of the left listing of each training pair
    held_out: dict[str, Pairs]  # by part

    def heads(self, width: int) -> dict[str, torch.nn.Module]:
        return {"match": MatchHead(width)}

    def objective(self, tuned: Tuned) -> PairLoss:
        return PairLoss(tuned)

    def frequencies(self, places: NDArray[np.int64], seed: int) -> None:
        """Each pair is drawn once an epoch."""

    def start(self, listings: Listings, chosen: NDArray[np.int64], clock: Rows, seed: int) -> Callable[[], PairBatch]:
        """Begin the training pairs of these places; a listing may be in several, and all have the epoch as clock."""
        rows, places = np.unique(self.train.rows[chosen], return_inverse=True)
        left_n, right_n = torch.from_numpy(places.reshape(-1, 2).T.copy())
        match_n = torch.from_numpy(self.train.match[chosen].astype(np.float32))
        how = self.section
        batch = listings.start(rows, epoch=clock[0], seed=seed, augment=how.augment, dropout=how.mdo, any_picture=True)
        return lambda: PairBatch(batch(), left_n, right_n, match_n)

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """(n,) log odds of the held-out pairs by part and reading; `size` listings are embedded at once."""
        head = tuned.heads["match"]
        assert isinstance(head, MatchHead)
        found: dict[str, Tensor] = {}
        for part, pairs in self.held_out.items():
            rows, places = np.unique(pairs.rows, return_inverse=True)
            left, right = torch.from_numpy(places.reshape(-1, 2).T.copy()).to(device)
            for reading, lost in READINGS.items() if part == "test" else [("both", None)]:
                read = listings.batches(rows, size, dropout=lost)
                points = [head(tuned.pooled(batch.to(device))) for batch in read]
                scores = head.scores(*(torch.cat(points)[side] for side in (left, right))) if points else left
                found[scored(part, reading)] = scores.float().cpu()
        return found

    def outcome(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """How good the scores are on the valid part, for a person who waits."""
        match = self.held_out["valid"].match
        if not match.any():
            return "no matches in the valid part"
        return f"PR AUC {average_precision(match, scores['valid'], np.ones((1, len(match))))[0]:.3f} on valid"
