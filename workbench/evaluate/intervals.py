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
