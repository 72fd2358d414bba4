"""Two kinds, ranked by a score: precision, recall and what follows from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.evaluate.intervals import Floats


def average_precision(positive_n: NDArray[np.bool_], scores_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) PR AUC as average precision: the sum over thresholds of precision times the gain in recall.

    Equal scores share one threshold, so their order doesn't count; NaN where a resample has no positive. Equals
    scikit-learn's `average_precision_score` with `sample_weight`.
    """
    order = np.argsort(-scores_n, kind="stable")
    last_of_tie = np.append(np.diff(scores_n[order]) != 0, True)
    weights = weights_Rn[:, order]
    hits = np.cumsum(weights * positive_n[order], 1)[:, last_of_tie]
    drawn = np.cumsum(weights, 1)[:, last_of_tie]
    gained = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(drawn > 0, hits / drawn, 0.0)
        return np.asarray((precision * gained).sum(1) / hits[:, -1])


def precision_recall(positive_n: NDArray[np.bool_], scores_n: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and threshold at every distinct score, from the highest down."""
    order = np.argsort(-scores_n, kind="stable")
    last = np.append(np.diff(scores_n[order]) != 0, True)
    hits = np.cumsum(positive_n[order])[last]
    return hits / (np.flatnonzero(last) + 1), hits / max(1, int(positive_n.sum())), scores_n[order][last]


def threshold_for(precision: float, positive_n: NDArray[np.bool_], scores_n: Floats) -> float | None:
    """The lowest score at or above which the precision is reached; None if it never is."""
    reached, _, thresholds = precision_recall(positive_n, scores_n)
    good = np.flatnonzero(reached >= precision)
    return float(thresholds[good[-1]]) if len(good) else None
