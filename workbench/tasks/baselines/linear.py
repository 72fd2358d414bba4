"""Logistic regressions, and the choice among several by what they say of products they have not learnt from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from workbench.draws import LABELS, stream

Floats = NDArray[np.float64]
Matrix = Any  # (n, d), dense or a csr_matrix
Says = Callable[[Matrix], Floats]
T = TypeVar("T")

FOLDS = 3
TRIED = 3000  # labels among which a choice is made, at most: what is chosen learns from all
NONE = 1e-6  # probability of a class that no label has


def regression(x: Matrix, strength: float) -> LogisticRegression:
    """For features of this kind: many sparse ones in their dual form, dense ones in theirs. No class weighs more."""
    if sp.issparse(x):
        dual = x.shape[1] > x.shape[0]
        how = {"solver": "liblinear", "dual": dual, "tol": 0.01 if dual else 1e-4, "max_iter": 300, "random_state": 0}
        return LogisticRegression(C=strength, **how)
    return LogisticRegression(C=strength, tol=1e-3, max_iter=300)


def fitted(x: Matrix, known: NDArray[Any], strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last digits don't matter here
        return regression(x, strength).fit(x, known)


def learn_classes(x: Matrix, labels: NDArray[Any], classes: int, strength: float) -> Says:
    """What says the (m, classes) probabilities of further features; of `labels` (n,) int they add up to 1, of (n,
    classes) bool each stands for itself."""
    if labels.ndim == 1 and not sp.issparse(x):
        return _together(x, labels, classes, strength)
    holds_nK = labels if labels.ndim == 2 else labels[:, None] == np.arange(classes)
    both = [holds.any() and not holds.all() for holds in holds_nK.T]
    each = [fitted(x, holds_nK[:, k], strength) if both[k] else float(holds_nK[:, k].all()) for k in range(classes)]

    def says(further: Matrix) -> Floats:
        probabilities = np.empty((further.shape[0], classes))
        for k, one in enumerate(each):
            probabilities[:, k] = one if isinstance(one, float) else one.predict_proba(further)[:, 1]
        return probabilities if labels.ndim == 2 else _normal(probabilities)

    return says


def _together(x: Matrix, labels: NDArray[Any], classes: int, strength: float) -> Says:
    known = np.unique(labels)
    model = fitted(x, labels, strength) if len(known) > 1 else None

    def says(further: Matrix) -> Floats:
        probabilities = np.zeros((further.shape[0], classes))
        probabilities[:, known] = model.predict_proba(further) if model else 1.0
        return _normal(probabilities)

    return says


def _normal(probabilities_nK: Floats) -> Floats:
    raised = probabilities_nK + NONE
    return np.asarray(raised / raised.sum(1, keepdims=True))


@dataclass(frozen=True)
class Fold:
    """Places of the labels to learn from, and of those to be judged by."""

    learnt: NDArray[np.int64]
    judged: NDArray[np.int64]


def folds(groups: NDArray[np.str_]) -> list[Fold]:
    """Labels of one product group lie in one fold; of many labels some are left out. None for fewer than 3 groups."""
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < FOLDS:
        return []
    rank = stream(0, LABELS).permutation(len(names))[group_of]
    rank[rank >= max(FOLDS, len(names) * TRIED // max(TRIED, len(groups)))] = -1
    used = [np.flatnonzero((rank >= 0) & (rank % FOLDS != fold)) for fold in range(FOLDS)]
    return [Fold(used[fold], np.flatnonzero((rank >= 0) & (rank % FOLDS == fold))) for fold in range(FOLDS)]


def best(candidates: Sequence[T], judge: Callable[[T], float]) -> T:
    """The first of the best ones; one alone is not judged."""
    if len(candidates) == 1:
        return candidates[0]
    values = [judge(candidate) for candidate in candidates]
    return candidates[int(np.argmax(values))]


def judge_classes(labels: NDArray[Any], groups: NDArray[np.str_], says: Callable[[Fold], Floats]) -> float:
    """Macro-F1 of what is said of the folds' judged labels, all folds together; 0 where there are no folds."""
    parts = folds(groups)
    if not parts:
        return 0.0
    guesses = np.concatenate([says(fold) for fold in parts])
    truth = labels[np.concatenate([fold.judged for fold in parts])]
    guessed = guesses > 0.5 if labels.ndim == 2 else guesses.argmax(1)
    return float(f1_score(truth, guessed, average="macro", zero_division=0))


def judge_pairs(match: NDArray[np.bool_], groups: NDArray[np.str_], says: Callable[[Fold], Floats]) -> float:
    """Average precision likewise; 0 where a fold has one kind only."""
    parts = folds(groups)
    if not parts or any(match[fold.learnt].all() or not match[fold.learnt].any() for fold in parts):
        return 0.0
    scores = np.concatenate([says(fold) for fold in parts])
    truth = match[np.concatenate([fold.judged for fold in parts])]
    return float(average_precision_score(truth, scores)) if truth.any() else 0.0
