"""Tuning a network on pairs: batches of pairs, and the scores of held-out ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.batches.loader import Listings
from workbench.batches.masking import draw_modality_dropout
from workbench.batches.order import Rows
from workbench.evaluate.binary import average_precision
from workbench.recipe.schema import Match, ModalityDropout
from workbench.tasks.match.net import MatchHead, PairBatch, PairLoss
from workbench.tasks.match.pairs import Pairs
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.tuned import Tuned

NEAR = "near"  # of the names of candidates' rows and scores


@dataclass(frozen=True)
class PairTuning:
    """The match task as `tune` sees it."""

    section: Match
    train: Pairs
    groups: NDArray[np.str_]  # (n,) product group of the left listing of each training pair
    products: NDArray[np.int64]  # (N,) number of the product of each row of the catalog, as far as is known
    held_out: dict[str, Pairs]  # by part
    listings: dict[str, Rows]  # by part, ascending: those of which each one's nearest are its candidates
    candidates: int  # of each, at most
    rarity: Tensor | None = None  # of words, as the head has it at the start

    def heads(self, width: int) -> dict[str, torch.nn.Module]:
        return {"match": MatchHead(width, self.rarity)}

    def objective(self, tuned: Tuned) -> PairLoss:
        return PairLoss(tuned)

    def frequencies(self, places: NDArray[np.int64], seed: int) -> None:
        """Each pair is drawn once an epoch."""

    def start(self, listings: Listings, chosen: NDArray[np.int64], clock: Rows, seed: int) -> Callable[[], PairBatch]:
        """Begin the training pairs of these places; a listing may be in several, and all have the epoch as clock."""
        how = self.section
        lost = lost_together(how.mdo, seed, clock[0], chosen)
        drawn = {"epoch": clock[0], "seed": seed, "augment": how.augment, "dropout": lost, "any_picture": True}
        return begin_pairs(listings, self.train.rows[chosen], self.train.match[chosen], self.products, **drawn)

    def finish(self, *_: Any) -> None:
        """Nothing is."""

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """(n,) log odds of the held-out pairs by part and reading; `size` listings are embedded at once.

        And of each part the candidates among its listings: "near.<part>.rows" (m, 2) and "near.<part>" (m,).
        """
        head = tuned.heads["match"]
        assert isinstance(head, MatchHead)
        found: dict[str, Tensor] = {}
        for part, pairs in self.held_out.items():
            for reading, lost in READINGS.items() if part == "test" else [("both", None)]:
                rows, places = np.unique(pairs.rows, return_inverse=True)
                read = listings.batches(rows, size, dropout=lost)
                points = [head(tuned.pooled(batch.to(device))) for batch in read]
                left, right = torch.from_numpy(places.reshape(-1, 2).T.copy()).to(device)
                scores = head.scores(*(torch.cat(points)[side] for side in (left, right))) if points else left
                found[scored(part, reading)] = scores.float().cpu()
                if reading == "both" and points:
                    near = np.flatnonzero(np.isin(rows, self.listings[part]))
                    places_m2 = nearest(torch.cat(points)[near], self.candidates)
                    found[f"{NEAR}.{part}.rows"] = torch.from_numpy(rows[near])[places_m2.cpu()]
                    sides = (torch.cat(points)[near][places_m2[:, side]] for side in (0, 1))
                    found[f"{NEAR}.{part}"] = head.scores(*sides).float().cpu()
        return found

    def outcome(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """How good the scores are on the valid part, for a person who waits."""
        match = self.held_out["valid"].match
        if not match.any():
            return "no matches in the valid part"
        return f"PR AUC {average_precision(match, scores['valid'], np.ones((1, len(match))))[0]:.3f} on valid"


def lost_together(mdo: ModalityDropout, seed: int, epoch: int, chosen: NDArray[np.int64]) -> ModalityDropout | None:
    """Modality dropout of pairs: all listings of a micro-batch lose their texts, or their pictures, or neither, since
    they are compared with one another. Where each loses its own, likeness is asked of a text and a picture that share
    nothing, which costs more than it teaches (docs/log.md)."""
    (keep_text,), (keep_image,) = draw_modality_dropout(mdo, seed, epoch, chosen[:1])
    return None if keep_text and keep_image else ModalityDropout(text=float(not keep_text), image=float(not keep_image))


def begin_pairs(
    listings: Listings,
    rows_n2: Rows,
    match_n: NDArray[np.bool_] | None = None,
    products_N: NDArray[np.int64] | None = None,
    **how: Any,
) -> Callable[[], PairBatch]:
    """Begin the batch of these pairs of rows, each listing in it once; `how` as in `Listings.start`."""
    rows, places = np.unique(rows_n2, return_inverse=True)
    left_n, right_n = torch.from_numpy(places.reshape(-1, 2).T.copy())
    match = np.zeros(len(rows_n2)) if match_n is None else match_n
    product_B = torch.from_numpy(rows if products_N is None else products_N[rows])
    batch = listings.start(rows, **how)
    return lambda: PairBatch(batch(), left_n, right_n, torch.from_numpy(match.astype(np.float32)), product_B)


def nearest(points_nD: Tensor, most: int) -> Tensor:
    """(m, 2) places left < right of two of which one is among the `most` nearest of the other; ascending."""
    count = len(points_nD)
    most = min(most, count - 1)
    if most < 1:
        return torch.zeros((0, 2), dtype=torch.int64)
    ends = []
    for first in range(0, count, 1024):
        cosines = points_nD[first : first + 1024] @ points_nD.T
        own = torch.arange(first, first + len(cosines), device=points_nD.device)
        cosines[own - first, own] = -torch.inf
        near = cosines.topk(most, 1).indices
        ends.append(torch.stack([own[:, None].expand_as(near), near], 2).flatten(0, 1))
    pairs: Tensor = torch.unique(torch.cat(ends).sort(1).values, dim=0)
    return pairs
