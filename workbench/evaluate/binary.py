"""Two kinds, ranked by a score: precision, recall and what follows from them.

Equal scores share one threshold everywhere, so the order of items never counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.evaluate.intervals import Bools, Floats, parts, quotient


def undefined(positive_n: Bools, kind: str = "items", positive: str = "positive") -> dict[str, str]:
    """Why a measure can't be told of these items: measure -> the reason, in words; empty where all are defined."""
    n, hits = len(positive_n), int(positive_n.sum())
    if not n:
        why = f"undefined, because there are no {kind}"
        return dict.fromkeys(("pr_auc", "roc_auc", "recall_at_precision", "brier", "calibration_error"), why)
    if not hits:
        why = f"undefined, because none of the {n} {kind} is {positive}"
        return dict.fromkeys(("pr_auc", "roc_auc", "recall_at_precision"), why)
    return {"roc_auc": f"undefined, because all {n} {kind} are {positive}"} if hits == n else {}


def average_precision(positive_n: Bools, scores_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) PR AUC as average precision: the sum over thresholds of precision times the gain in recall.

    Constant scores give the share of positives. NaN where a resample has no positive. Equals scikit-learn's
    `average_precision_score` with `sample_weight`.
    """
    found = []
    for hits, drawn in _counted(positive_n, scores_n, weights_Rn):
        gained = np.diff(hits, axis=1, prepend=0.0)
        precision = np.where(drawn > 0, hits / np.where(drawn > 0, drawn, 1), 0.0)
        found.append(quotient((precision * gained).sum(1), hits[:, -1]))
    return np.concatenate(found)


def roc_auc(positive_n: Bools, scores_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) chance that a positive has a higher score than a negative, a tie counting half.

    NaN where a resample lacks one of the two. Equals scikit-learn's `roc_auc_score` with `sample_weight`.
    """
    found = []
    for hits, drawn in _counted(positive_n, scores_n, weights_Rn):
        false = drawn - hits
        here = np.diff(false, axis=1, prepend=0.0)
        won = (np.diff(hits, axis=1, prepend=0.0) * (false[:, -1:] - false + here / 2)).sum(1)
        found.append(quotient(won, hits[:, -1] * false[:, -1]))
    return np.concatenate(found)


def recall_at(precision: float, positive_n: Bools, scores_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) the most recall among the thresholds that reach the precision, 0 where none does; NaN without a positive.

    Each resample chooses its own threshold: what the scores can do, not what one chosen on other items does.
    """
    found = []
    for hits, drawn in _counted(positive_n, scores_n, weights_Rn):
        reached = (hits >= precision * drawn - 1e-12 * drawn) & (drawn > 0)
        found.append(quotient(np.where(reached, hits, 0).max(1, initial=0), hits[:, -1]))
    return np.concatenate(found)


def precision_recall(positive_n: Bools, scores_n: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and threshold at every distinct score, from the highest down."""
    order = np.argsort(-scores_n, kind="stable")
    last = _last_of_tie(scores_n[order])
    hits = np.cumsum(positive_n[order])[last]
    return hits / (np.flatnonzero(last) + 1), hits / max(1, int(positive_n.sum())), scores_n[order][last]


def threshold_for(precision: float, positive_n: Bools, scores_n: Floats) -> float | None:
    """The lowest score at or above which the precision is reached; None if it never is."""
    reached, _, thresholds = precision_recall(positive_n, scores_n)
    good = np.flatnonzero(reached >= precision)
    return float(thresholds[good[-1]]) if len(good) else None


def _counted(positive_n: Bools, scores_n: Floats, weights_Rn: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Weight of the positives, and of all items, at or above each distinct score, for some resamples at a time."""
    order = np.argsort(-scores_n, kind="stable")
    last, positive = _last_of_tie(scores_n[order]), positive_n[order]
    for some in parts(weights_Rn):
        weights = some[:, order]
        hits, drawn = np.cumsum(weights * positive, 1)[:, last], np.cumsum(weights, 1)[:, last]
        # A place in front for no items at all: it adds nothing, and sums over nothing are 0.
        yield (np.pad(hits, ((0, 0), (1, 0))), np.pad(drawn, ((0, 0), (1, 0))))


def _last_of_tie(sorted_n: Floats) -> Bools:
    return np.append(np.diff(sorted_n) != 0, True)[: len(sorted_n)]
