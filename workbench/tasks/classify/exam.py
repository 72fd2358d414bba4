"""How guesses of classes are marked: each arm's probabilities for the held-out listings, at every level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.evaluate.binary import precision_recall
from workbench.evaluate.calibration import calibration_error
from workbench.evaluate.classes import accuracy, by_class, by_class_of_several, macro_f1, mean_average_precision
from workbench.evaluate.intervals import Bools, Floats, Ints, mean, weights_of
from workbench.tasks.classify.answer import best
from workbench.tasks.classify.target import Path, Target, name_of

FEWEST = 5  # valid listings of a class from which its threshold is chosen
DEFAULT = 0.5  # the threshold of the others
Marks = dict[str, Floats]


@dataclass(frozen=True)
class Exam:
    """Held-out listings whose classes are known."""

    target: Target
    truth_n: Ints  # places in `target.truths`
    groups: NDArray[np.str_]

    @cached_property
    def weights_Rn(self) -> Floats:
        return weights_of(self.groups)

    @cached_property
    def names(self) -> list[str]:
        """The K classes, then those that no training listing has."""
        return self._levels[0][-1] if not self._several else [name_of(p) for p in (*self.target.paths, *self._unseen)]

    @cached_property
    def truth_nL(self) -> Ints:
        """The class at each level, the last being that of `names`; -1 where the listing doesn't tell."""
        return self._levels[2][self.truth_n]

    @cached_property
    def truth_nC(self) -> Bools:
        """Of several: which of `names` each listing has."""
        place = {path: c for c, path in enumerate((*self.target.paths, *self._unseen))}
        truth_TC = np.zeros((len(self.target.truths), len(place)), np.bool_)
        for t, truth in enumerate(self.target.truths):
            truth_TC[t, [place[path] for path in truth]] = True
        return truth_TC[self.truth_n]

    @property
    def unseen_n(self) -> Bools:
        """Listings with a class that no training listing has."""
        K = len(self.target.paths)
        return np.asarray(self.truth_nC[:, K:].any(1) if self._several else self.truth_nL[:, -1] >= K)

    def marks(self, probability_nK: Floats, thresholds: Sequence[float], at: Ints | None = None) -> Marks:
        """Each measure (R,), of all listings or of those at these places."""
        at = np.arange(len(self.truth_n)) if at is None else at
        if self._several:
            return self._marks_of_several(probability_nK[at], thresholds, at)
        class_n, sure_n, right_n = self.judged(probability_nK, at)
        marks: Marks = {}
        for level, name in reversed(list(enumerate(self.target.levels))):
            known_n = self.truth_nL[at, level] >= 0
            truth, guess = self.truth_nL[at[known_n], level], self._levels[1][class_n[known_n], level]
            weights = self.weights_Rn[:, at[known_n]]
            f1 = macro_f1(truth, guess, len(self._levels[0][level]), weights)
            found = {"accuracy": accuracy(truth, guess, weights), "macro_f1": f1}
            if level == len(self.target.levels) - 1:
                found["calibration_error"] = calibration_error(right_n[known_n], sure_n[known_n], weights)
                marks |= found
            else:
                marks |= {f"{name}.{measure}": values for measure, values in found.items()}
        return marks

    def judged(self, probability_nK: Floats, at: Ints | None = None) -> tuple[Ints, Floats, Bools]:
        """Of each listing, or of those at these places, the class that is guessed first, its probability, and whether
        it agrees with all that is told."""
        at = np.arange(len(self.truth_n)) if at is None else at
        some = probability_nK[at]
        class_n = some.argmax(1) if self._several else best(self.target.paths, some)[0]
        return class_n, some[np.arange(len(at)), class_n], self.target.holds_TK[self.truth_n[at], class_n]

    @property
    def told_n(self) -> list[str]:
        """What each listing is said to be."""
        parted = (self.target.several or "").join
        return [parted(map(name_of, self.target.truths[t])) for t in self.truth_n]

    def chosen(self, probability_nK: Floats, thresholds: Sequence[float]) -> Bools:
        """Of several: (n, C) the classes that reach their thresholds."""
        chosen_nK = probability_nK >= np.array(thresholds)
        return np.pad(chosen_nK, ((0, 0), (0, len(self._unseen))))

    def per_class(self, probability_nK: Floats, thresholds: Sequence[float]) -> list[dict[str, Any]]:
        """Support, precision, recall and F1 of each class that occurs among the truths or the guesses; 0 for 0 of 0."""
        if self._several:
            one = np.ones((1, len(self.truth_n)))
            told = by_class_of_several(self.truth_nC, self.chosen(probability_nK, thresholds), one)
        else:
            known = np.flatnonzero(self.truth_nL[:, -1] >= 0)
            guess_n, one = self.judged(probability_nK, known)[0], np.ones((1, len(known)))
            told = by_class(self.truth_nL[known, -1], guess_n, len(self.names), one)
        table = []
        for c, name in enumerate(self.names):
            support, guessed = int(told.support[0, c]), int(told.guessed[0, c])
            if support or guessed:
                shares = {k: float(np.nan_to_num(getattr(told, k)[0, c])) for k in ("precision", "recall", "f1")}
                table.append({"class": name, "support": support, **shares})
        return sorted(table, key=lambda line: str(line["class"]))

    def _marks_of_several(self, probability_nK: Floats, thresholds: Sequence[float], at: Ints) -> Marks:
        K = len(self.target.paths)
        truth, guess, weights = self.truth_nC[at], self.chosen(probability_nK, thresholds), self.weights_Rn[:, at]
        told = by_class_of_several(truth, guess, weights)
        top = probability_nK.argmax(1)
        right, sure = truth[np.arange(len(at)), top], probability_nK.max(1)
        return {
            "accuracy": mean((truth == guess).all(1).astype(np.float64), weights),
            "macro_f1": told.macro_f1,
            "calibration_error": calibration_error(right, sure, weights),
            "micro_f1": told.micro_f1,
            "mean_average_precision": mean_average_precision(truth[:, :K], probability_nK, weights),
        }

    @property
    def _several(self) -> bool:
        return self.target.several is not None

    @cached_property
    def _unseen(self) -> list[Path]:
        """Of several: classes that no training listing has."""
        told = {path for truth in self.target.truths for path in truth}
        return sorted(told - set(self.target.paths), key=name_of)

    @cached_property
    def _levels(self) -> tuple[list[list[str]], Ints, Ints]:
        """Names at each level; the place among them of each class (K, L), and of each truth (T, L) or -1."""
        names, of_class, of_truth = [], [], []
        classes = set(self.target.paths)
        for level in range(len(self.target.levels)):
            codes: dict[Path, int] = {}
            of_class.append([codes.setdefault(path[: level + 1], len(codes)) for path in self.target.paths])
            told = [truth[0] for truth in self.target.truths]
            known = [p in classes or (len(p) > level and None not in p[: level + 1]) for p in told]
            steps = [path[: level + 1] if k else None for path, k in zip(told, known, strict=True)]
            of_truth.append([-1 if step is None else codes.setdefault(step, len(codes)) for step in steps])
            names.append([name_of(path) for path in codes])
        return names, np.array(of_class, np.int64).T, np.array(of_truth, np.int64).T


def thresholds_of(exam: Exam, probability_nK: Floats) -> list[float]:
    """For each class the probability from which on its F1 on these (valid) listings is best; DEFAULT where there are
    too few to tell."""
    found = []
    for truth_n, sure_n in zip(exam.truth_nC.T, probability_nK.T, strict=False):
        if truth_n.sum() < FEWEST:
            found.append(DEFAULT)
            continue
        precision, recall, scores = precision_recall(truth_n, sure_n)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        found.append(float(scores[f1.argmax()]))
    return found
