"""Many classes: one guessed for each item, several, or one at each level of a hierarchy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from workbench.evaluate.binary import average_precision
from workbench.evaluate.intervals import Bools, Floats, Ints, mean, parts, quotient


@dataclass(frozen=True)
class ByClass:
    """(R, k) each: the weight of each class's hits, of its items and of its guesses."""

    hits: Floats
    support: Floats
    guessed: Floats

    @property
    def precision(self) -> Floats:
        """(R, k); NaN where a class is never guessed."""
        return quotient(self.hits, self.guessed)

    @property
    def recall(self) -> Floats:
        """(R, k); NaN where a class does not occur."""
        return quotient(self.hits, self.support)

    @property
    def f1(self) -> Floats:
        """(R, k); NaN where a class neither occurs nor is guessed."""
        return quotient(2 * self.hits, self.support + self.guessed)

    @property
    def macro_f1(self) -> Floats:
        """(R,) mean F1 over the classes that occur or are guessed in a resample; NaN without any."""
        f1 = self.f1
        return quotient(np.nansum(f1, 1), (~np.isnan(f1)).sum(1).astype(np.float64))

    @property
    def micro_f1(self) -> Floats:
        """(R,) F1 over all classes at once; of items with one class and one guess each, the accuracy."""
        return quotient(2 * self.hits.sum(1), (self.support + self.guessed).sum(1))


def by_class(truth_n: Ints, guess_n: Ints, classes: int, weights_Rn: Floats) -> ByClass:
    """Of items with one class each; -1: none, or none guessed."""
    return by_class_of_several(_one_hot(truth_n, classes), _one_hot(guess_n, classes), weights_Rn)


def by_class_of_several(truth_nk: Bools | sp.csr_array, guess_nk: Bools | sp.csr_array, weights_Rn: Floats) -> ByClass:
    """Of items that are in any number of classes."""
    truth, guess = sp.csr_array(truth_nk), sp.csr_array(guess_nk)
    return ByClass(*(_weigh(told, weights_Rn) for told in (truth.multiply(guess), truth, guess)))


def macro_f1(truth_n: Ints, guess_n: Ints, classes: int, weights_Rn: Floats) -> Floats:
    """(R,) mean F1 over the classes that occur among the items or the guesses of a resample; of thousands of classes in
    the memory that those take which occur at all."""
    met = np.unique(np.concatenate([truth_n, guess_n]))
    met = met[met >= 0]
    place = np.append(np.zeros(classes, np.int64), -1)  # the last is that of -1
    place[met] = np.arange(len(met))
    found = (by_class(place[truth_n], place[guess_n], len(met), some).macro_f1 for some in parts(weights_Rn))
    return np.concatenate(list(found))


def accuracy(truth_n: Ints, guess_n: Ints, weights_Rn: Floats) -> Floats:
    """(R,) share of items whose guess is right; NaN of none."""
    return mean((truth_n == guess_n).astype(np.float64), weights_Rn)


def mean_average_precision(truth_nk: Bools, scores_nk: Floats, weights_Rn: Floats) -> Floats:
    """(R,) mean over the classes of the average precision of the items, ranked by the class's score.

    A class that no item of a resample is in has none, and is left out; NaN where that is every class.
    """
    total, classes = np.zeros(len(weights_Rn)), np.zeros(len(weights_Rn))
    for truth_n, scores_n in zip(truth_nk.T, scores_nk.T, strict=True):
        if truth_n.any():
            found = average_precision(truth_n, scores_n, weights_Rn)
            total += np.nan_to_num(found)
            classes += ~np.isnan(found)
    return quotient(total, classes)


def _one_hot(class_n: Ints, classes: int) -> sp.csr_array:
    at = np.flatnonzero(class_n >= 0)
    return sp.csr_array((np.ones(len(at), bool), (at, class_n[at])), shape=(len(class_n), classes))


def _weigh(told_nk: sp.csr_array, weights_Rn: Floats) -> Floats:
    return np.asarray((sp.csr_array(told_nk, dtype=np.float64).T @ weights_Rn.T).T)
