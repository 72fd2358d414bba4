"""Answers to questions about attributes, and how they are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.evaluate.binary import threshold_for
from workbench.evaluate.classes import macro_f1
from workbench.evaluate.intervals import Bools, Floats, Ints, mean, quotient
from workbench.tasks.fill.answer import known
from workbench.tasks.fill.tuning import Questions


@dataclass(frozen=True)
class Guesses:
    """Of each question the most probable value, its probability, and whether that is enough to say it."""

    guess: Ints
    sure: Floats
    said: Bools

    @classmethod
    def of(cls, probabilities: Sequence[Floats], thresholds: Sequence[float | None]) -> Guesses:
        """Both by attribute."""
        sure = [part.max(1) for part in probabilities]
        said = [known(threshold, part) for threshold, part in zip(thresholds, sure, strict=True)]
        guess = [part.argmax(1) for part in probabilities]
        return cls(*map(np.concatenate, (guess, sure, said)))


Read = Mapping[str, Guesses]  # by reading
Arms = dict[tuple[str, float | None], list[Read]]  # by arm and share of the labels, one for each seed


def whole(read: Read) -> Guesses:
    """Told of a listing with all it has; by a baseline that reads one modality, that one."""
    return read["both"] if "both" in read else next(iter(read.values()))


@dataclass(frozen=True)
class Exam:
    """The test questions, and how answers are marked."""

    asked: Questions
    starts: Ints  # of each attribute's values among all of them, and the end
    weights_Rn: Floats

    def right(self, guesses: Guesses) -> Bools:
        return np.asarray(guesses.guess == self.asked.value)

    def accuracy(self, guesses: Guesses, at: Ints) -> Floats:
        """(R,) the judge alone."""
        return mean(self.right(guesses)[at].astype(np.float64), self.weights_Rn[:, at])

    def marks(self, guesses: Guesses, at: Ints) -> dict[str, Floats]:
        """Each measure (R,) of the questions at these places. A value that none can say is never right."""
        weights, said, right = self.weights_Rn[:, at], guesses.said[at], self.right(guesses)[at]
        start, truth = self.starts[self.asked.attribute[at]], self.asked.value[at]
        codes = np.where(truth < 0, -1, start + truth), start + guesses.guess[at]
        return {
            "accuracy": self.accuracy(guesses, at),
            "macro_f1": macro_f1(*codes, int(self.starts[-1]), weights),
            "coverage": mean(said.astype(np.float64), weights),
            "precision": quotient(weights @ (said & right).astype(np.float64), weights @ said.astype(np.float64)),
        }


def thresholds_of(asked: Questions, probabilities: Sequence[Floats], precision: float) -> list[float | None]:
    """Of each attribute the confidence from which on so many answers to these (valid) questions are right."""
    found = []
    for place, probability_nV in enumerate(probabilities):
        right_n = probability_nV.argmax(1) == asked.of(place).value
        found.append(threshold_for(precision, right_n, probability_nV.max(1)))
    return found
