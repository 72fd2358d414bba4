"""Scores made probabilities, on held-out items: by Platt for two kinds, by a temperature for many classes.

Both are monotone: they change no ranking and no guess. A weak prior, worth one item, pulls them towards "leave it as
it is", so that few items, or items of one kind, give finite answers.

Platt (1999), Probabilistic outputs for support vector machines; Guo et al. (2017), On calibration of modern neural
networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, softmax

from workbench.evaluate.intervals import Bools, Floats

LIMIT = 5.0  # natural logarithm of the most that scores are stretched or shrunk


@dataclass(frozen=True)
class Platt:
    """Probability = 1 / (1 + exp(-(scale * score + shift))), scale > 0."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, scores_n: NDArray[Any]) -> Floats:
        """(n,) probabilities of scores, such as log odds."""
        return np.asarray(expit(self.scale * np.asarray(scores_n, np.float64) + self.shift))


def fit_platt(scores_n: Floats, positive_n: Bools) -> Platt:
    """The map that makes these scores fit best; the one that changes nothing where there are none.

    Platt's targets stand in for 1 and 0: (P + 1) / (P + 2) of P positives, 1 / (N + 2) of N negatives.
    """
    if not len(scores_n):
        return Platt()
    hits = int(positive_n.sum())
    target_n = np.where(positive_n, (hits + 1) / (hits + 2), 1 / (len(scores_n) - hits + 2))
    spread = float(scores_n.std()) or 1.0  # solved on scores of width 1, whatever their unit
    near_n = (scores_n - scores_n.mean()) / spread

    def loss(parameters: Floats) -> tuple[float, Floats]:
        stretch, shift = parameters
        log_odds_n = np.exp(stretch) * near_n + shift
        off_n = expit(log_odds_n) - target_n
        away = stretch - as_it_is  # under Cauchy's prior: scores need not be log odds, and may be far away
        value = (np.logaddexp(0, log_odds_n) - target_n * log_odds_n).sum() + np.log1p(away**2)
        slope = (off_n * near_n).sum() * np.exp(stretch) + 2 * away / (1 + away**2)
        return float(value), np.array([slope, off_n.sum()])

    as_it_is = float(np.log(spread))
    start = np.array([0, np.log(target_n.mean() / (1 - target_n.mean()))])
    bounds = [(min(-LIMIT, as_it_is), max(LIMIT, as_it_is)), (None, None)]
    stretch, shift = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    scale = float(np.exp(stretch)) / spread
    return Platt(scale, float(shift - scale * scores_n.mean()))


def fit_temperature(logits_nk: Floats, truth: NDArray[Any]) -> float:
    """The number by which to divide logits; 1 without any.

    `truth`: (n,) the class of each item, under a softmax; or (n, k) whether an item is in each class, by itself.
    """
    if not len(logits_nk):
        return 1.0
    several = truth.ndim == 2

    def loss(warmth: float) -> float:
        logits = logits_nk / np.exp(warmth)
        if several:
            return float((np.logaddexp(0, logits) - truth * logits).sum() + warmth**2 / 2)
        return float(warmth**2 / 2 - np.take_along_axis(log_softmax(logits, 1), truth[:, None], 1).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-LIMIT, LIMIT), method="bounded").x))


def probabilities(logits_nk: NDArray[Any], temperature: float = 1.0, several: bool = False) -> Floats:
    """(n, k) probabilities: a softmax over the classes, or each class by itself."""
    warm = np.asarray(logits_nk, np.float64) / temperature
    return np.asarray(expit(warm) if several else softmax(warm, 1))
