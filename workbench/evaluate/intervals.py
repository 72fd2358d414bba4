"""Measures and their intervals, from one bootstrap over product groups that all arms share.

A resample is a vector of weights: how often each item was drawn. Every measure takes such weights, so an interval
costs one vectorised pass and two arms are compared on the same resamples (a paired bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BOOTSTRAP = 2000  # resamples behind each interval
FEWEST, MOST_WEIGHTS = 200, 20_000_000  # of many items fewer: 160 MB of weights
PART = 4_000_000  # weights that a measure looks at, at once


@dataclass(frozen=True)
class Estimate:
    """A measure on the items as they are, and its 95% interval over resamples; NaN where it is undefined."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 when the interval lies wholly above or below zero, else 0: undecided."""
        return int(self.low > 0) - int(self.high < 0)

    def json(self) -> dict[str, float] | None:
        """As results.json has it: null where it is undefined."""
        return None if math.isnan(self.mean) else asdict(self)


def resamples(groups: Sequence[Any] | NDArray[Any], count: int, seed: int = 0) -> Floats:
    """(1 + count, n) weights: row 0 is the items as they are, each other row draws whole groups with replacement.

    Items of one product group come and go together, since they don't vary independently.
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    stream = np.random.Generator(np.random.Philox(key=[seed, 0]))
    if not len(names):
        return np.ones((1 + count, 0))
    drawn = stream.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count)
    return np.vstack([np.ones(len(group_of)), drawn[:, group_of]]).astype(np.float64)


def weights_of(groups: Sequence[Any] | NDArray[Any]) -> Floats:
    """(R, n) weights of so many resamples as the memory bears: 2,001, of many items fewer, of none 1."""
    n = len(groups)
    return resamples(groups, int(np.clip(MOST_WEIGHTS // n, FEWEST, BOOTSTRAP)) if n else 0)


def estimate(values_R: Floats) -> Estimate:
    """The measure on the items as they are (first value) and the 2.5% and 97.5% quantiles of its resamples.

    Resamples in which it is undefined are left out; so is the interval where it is undefined on the items themselves.
    """
    drawn = values_R[1:][~np.isnan(values_R[1:])]
    if np.isnan(values_R[0]):
        return Estimate(math.nan, math.nan, math.nan)
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (values_R[0],) * 2
    return Estimate(float(values_R[0]), float(low), float(high))


def mean(values_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) weighted mean of a value per item; NaN over nothing. Items of value NaN are left out."""
    known = ~np.isnan(values_n)
    weights = weights_Rn if known.all() else weights_Rn[:, known]
    return quotient(weights @ values_n[known], weights.sum(1))


def ratio(tops_n: Floats, bottoms_n: Floats, weights_Rn: Floats) -> Floats:
    """(R,) sum of tops over sum of bottoms: a mean per token where listings hold several."""
    return quotient(weights_Rn @ tops_n, weights_Rn @ bottoms_n)


def quotient(tops: Floats, bottoms: Floats) -> Floats:
    """Their quotient, NaN over 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottoms > 0, tops / bottoms, np.nan)


def parts(weights_Rn: Floats) -> Iterator[Floats]:
    """The resamples, some at a time: what a measure makes of them stays small."""
    step = max(1, PART // max(1, weights_Rn.shape[1]))
    for start in range(0, len(weights_Rn), step):
        yield weights_Rn[start : start + step]
