"""Measures and their intervals, from one bootstrap over product groups that all arms share.

A resample is a vector of weights: how often each item was drawn. Every measure takes such weights, so an interval
costs one vectorised pass and two arms are compared on the same resamples (a paired bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A measure on the items as they are, and its 95% interval over resamples."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 when the interval lies wholly above or below zero, else 0: undecided."""
        return int(self.low > 0) - int(self.high < 0)


def resamples(groups: Sequence[Any] | NDArray[Any], count: int, seed: int = 0) -> Floats:
    """(1 + count, n) weights: row 0 is the items as they are, each other row draws whole groups with replacement.

    Items of one product group come and go together, since they don't vary independently.
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    stream = np.random.Generator(np.random.Philox(key=[seed, 0]))
    drawn = stream.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count)
    return np.vstack([np.ones(len(group_of)), drawn[:, group_of]]).astype(np.float64)


def estimate(values_R: Floats) -> Estimate:
    """The measure on the items as they are (first value) and the 2.5% and 97.5% quantiles of its resamples."""
    low, high = np.nanquantile(values_R[1:], [0.025, 0.975]) if len(values_R) > 1 else (values_R[0],) * 2
    return Estimate(float(values_R[0]), float(low), float(high))


def mean(values_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) weighted mean of a value per item."""
    return np.asarray((weights_Rn @ values_n) / weights_Rn.sum(1))


def ratio(tops_n: Floats, bottoms_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) sum of tops over sum of bottoms: a mean per token where listings hold several."""
    return (weights_Rn @ tops_n) / (weights_Rn @ bottoms_n)


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


def f1_by_class(truth_n: NDArray[np.int64], guess_n: NDArray[np.int64], classes: int, weights_Rn: Floats) -> Floats:
    """(R, classes) F1 of each class; NaN where a class neither occurs nor is guessed."""
    columns = []
    for label in range(classes):
        true, guessed = truth_n == label, guess_n == label
        hits = weights_Rn @ (true & guessed).astype(np.float64)
        total = weights_Rn @ (true.astype(np.float64) + guessed)
        with np.errstate(invalid="ignore", divide="ignore"):
            columns.append(2 * hits / total)
    return np.stack(columns, 1)


def macro_f1(truth_n: NDArray[np.int64], guess_n: NDArray[np.int64], classes: int, weights_Rn: Floats) -> Floats:
    """(R,) mean F1 over the classes that occur among the items or the guesses of a resample."""
    return np.asarray(np.nanmean(f1_by_class(truth_n, guess_n, classes, weights_Rn), 1))
