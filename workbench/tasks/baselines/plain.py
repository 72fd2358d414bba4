"""Linear models on words, on the picture, and on both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from workbench.tasks.baselines import pairs
from workbench.tasks.baselines.features import Features
from workbench.tasks.baselines.linear import Floats, Says, best, fitted, judge_classes, judge_pairs, learn_classes
from workbench.tasks.readings import scored

WEIGHTS = (0.3, 0.6, 1.0)  # of the picture beside the words
STRENGTHS = (3.0, 30.0, 300.0)  # the inverse of how much weights are held down
COSINES, WORDS = 0.0, (1.0, 10.0, 100.0)  # of pairs: what they have in common alone, or also which words they differ by
KINDS = {"text": ("both", "text"), "picture": ("both", "picture"), "both": ("both", "text", "picture")}


@dataclass(frozen=True)
class Plain:
    """One of KINDS. With one modality removed, "both" is what was learnt from the other alone."""

    name: str
    features: Features

    def classify(
        self, train_rows: NDArray[np.int64], labels: NDArray[Any], classes: int, rows: NDArray[np.int64]
    ) -> Mapping[str, Floats]:
        """By reading the (n, classes) probabilities of `rows`."""
        learnt = {name: self._classes(name, train_rows, labels, classes) for name in self._parts}
        return {reading: learnt[name](rows) for reading, name in self._readings.items()}

    def match(
        self, train_rows: NDArray[np.int64], train_match: NDArray[np.bool_], parts: Mapping[str, NDArray[np.int64]]
    ) -> Mapping[str, Floats]:
        """By part and reading the (n,) probabilities that the (n, 2) `rows` match."""
        learnt = {name: self._pairs(name, train_rows, train_match) for name in self._parts}
        return {
            scored(part, reading): learnt[name](rows)
            for part, rows in parts.items()
            for reading, name in self._readings.items()
        }

    def points(self, rows: NDArray[np.int64], reading: str) -> Any:
        """(n, d) sparse, of length 1 where the listing has all that is read, shorter where it lacks some."""
        if reading not in self._readings:
            return None
        part = self._readings[reading]
        text, picture = self.features.text[rows], sp.csr_matrix(self.features.pictures[rows] / np.sqrt(3))
        if self.name == "both":
            half = np.sqrt(0.5) if part == "both" else 1.0
            return sp.hstack([text * (half * (part != "picture")), picture * (half * (part != "text"))]).tocsr()
        return text if self.name == "text" else picture

    @property
    def _readings(self) -> Mapping[str, str]:
        """By reading what is used for it."""
        return {reading: reading if self.name == "both" else self.name for reading in KINDS[self.name]}

    @property
    def _parts(self) -> set[str]:
        return set(self._readings.values())

    def _classes(self, name: str, rows: NDArray[np.int64], labels: NDArray[Any], classes: int) -> Says:
        """What says the probabilities of further rows, strength and weight chosen on products held out of these."""
        groups = self.features.groups[rows]

        def says(choice: tuple[float, float], places: NDArray[np.int64], judged: NDArray[np.int64]) -> Floats:
            vectors = self._vectors(name, choice[1])
            return learn_classes(vectors[rows[places]], labels[places], classes, choice[0])(vectors[judged])

        def judge(choice: tuple[float, float]) -> float:
            return judge_classes(labels, groups, lambda fold: says(choice, fold.learnt, rows[fold.judged]))

        strength, _ = best([(strength, WEIGHTS[0]) for strength in STRENGTHS], judge)
        choice = best([(strength, weight) for weight in (WEIGHTS if name == "both" else WEIGHTS[:1])], judge)
        return partial(says, choice, np.arange(len(rows)))

    def _vectors(self, name: str, weight: float) -> Any:
        if name == "picture":
            return self.features.pictures
        return self.features.text if name == "text" else sp.hstack([self.features.text, self._picture * weight]).tocsr()

    @cached_property
    def _picture(self) -> sp.csr_matrix:
        return sp.csr_matrix(self.features.pictures)

    def _pairs(self, name: str, rows: NDArray[np.int64], match: NDArray[np.bool_]) -> Says:
        groups = self.features.groups[rows[:, 0]]

        def says(choice: float, learnt: NDArray[np.int64], judged: NDArray[np.int64]) -> Floats:
            return learn_pairs(self.features, name, choice, rows[learnt], match[learnt])(judged)

        def judge(choice: float) -> float:
            return judge_pairs(match, groups, lambda fold: says(choice, fold.learnt, rows[fold.judged]))

        choices = (COSINES,) if name == "picture" else (COSINES, *WORDS)
        return partial(says, best(choices, judge), np.arange(len(rows)))


def learn_pairs(
    features: Features, name: str, strength: float, rows_n2: NDArray[np.int64], match: NDArray[np.bool_]
) -> Says:
    """What says the (m,) probabilities that further pairs match."""

    def common(rows: NDArray[np.int64]) -> Floats:
        found = {"text": pairs.of_text, "picture": pairs.of_picture}
        return np.hstack([of(features, rows) for kind, of in found.items() if name in (kind, "both")])

    scale = StandardScaler().fit(common(rows_n2))

    def vectors(rows: NDArray[np.int64]) -> Any:
        scaled = scale.transform(common(rows))
        return scaled if strength == COSINES else sp.hstack([pairs.apart(features.text, rows), scaled]).tocsr()

    model = fitted(vectors(rows_n2), match, strength or 1.0)
    return lambda rows: model.predict_proba(vectors(rows))[:, 1] if len(rows) else np.zeros(0)
