"""Are probabilities what they say? Brier score and calibration error; of many classes, of the one that is guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from workbench.evaluate.intervals import Bools, Floats, mean, quotient

BINS, FEWEST = 15, 10  # bins of equal mass, fewer where one would hold fewer items


def brier(positive_n: Bools, probability_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) mean squared distance of the probability from 1 (positive) or 0. As scikit-learn's `brier_score_loss`."""
    return mean((probability_n - positive_n) ** 2, weights_Rn)


def calibration_error(positive_n: Bools, probability_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) expected calibration error: sum over bins of their share of the items x |mean probability - positives|.

    Bins of equal mass: the items sorted by probability and cut into 15 runs of equal length, or as many as hold 10
    items each; items of equal probability stay together (in the run of the middle of them). The bins are those of the
    items as they are, for all resamples. It is above 0 by chance even where all is well, the more so the fewer the
    items.
    """
    off_Rb = weights_Rn @ (_members(probability_n) * (probability_n - positive_n)[:, None])
    return quotient(np.abs(off_Rb).sum(1), weights_Rn.sum(1))


def reliability(positive_n: Bools, probability_n: Floats) -> list[dict[str, Any]]:
    """The bins of `calibration_error` that hold items: how many, their mean probability and share of positives."""
    members = _members(probability_n)
    return [
        {"items": len(at), "probability": float(probability_n[at].mean()), "share": float(positive_n[at].mean())}
        for at in (np.flatnonzero(column) for column in members.T)
        if len(at)
    ]


def _members(probability_n: Floats) -> Floats:
    """(n, bins) 1 where an item is in the bin."""
    n = len(probability_n)
    bins = min(BINS, max(1, n // FEWEST))
    place_n = ((rankdata(probability_n) - 0.5) * bins / max(1, n)).astype(np.int64)
    members: Floats = np.eye(bins)[place_n.clip(0, bins - 1)]
    return members
