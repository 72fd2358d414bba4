"""A rival that learns logistic regressions from what it sees of listings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from workbench.tasks.baselines.features import evenly
from workbench.tasks.baselines.linear import Floats, Says, best, fitted, judge_classes, judge_pairs, learn_classes
from workbench.tasks.readings import scored

Rows = NDArray[np.int64]

LEARNT = 100_000  # labels, at most
STRENGTHS = (3.0, 30.0, 300.0)  # the inverse of how much weights are held down
COMMON, APART = 0.0, (1.0, 10.0, 100.0)  # of pairs: what they have in common alone, or also in what they differ


class Sight(Protocol):
    """What a rival sees: its text, its picture, or both ("part")."""

    @property
    def name(self) -> str: ...

    @property
    def groups(self) -> NDArray[np.str_]:
        """(N,) product group of each listing."""

    @property
    def readings(self) -> Mapping[str, str]:
        """By reading the part that is seen under it; "both" is among them."""

    def weights(self, part: str) -> Sequence[float]:
        """Choices of how much the picture weighs beside the text."""

    def vectors(self, part: str, weight: float, rows: Rows) -> Any:
        """(n, d) dense or csr_matrix, zeros for what a listing lacks."""

    def common(self, part: str, rows_n2: Rows) -> Floats:
        """(n, few): how alike the two listings of each pair are."""

    def apart(self, part: str, rows_n2: Rows) -> Any:
        """(n, many): in what; None where that is not seen."""

    def points(self, rows: Rows, reading: str) -> Any:
        """As a rival's."""


@dataclass(frozen=True)
class Learnt:
    """With one modality removed it answers by what it learnt from the other alone."""

    sight: Sight

    @property
    def name(self) -> str:
        return self.sight.name

    def classify(self, train_rows: Rows, labels: NDArray[Any], classes: int, rows: Rows) -> Mapping[str, Floats]:
        some = evenly(np.arange(len(train_rows)), LEARNT)
        learnt = {part: self._classes(part, train_rows[some], labels[some], classes) for part in self._parts}
        return {reading: learnt[part](rows) for reading, part in self.sight.readings.items()}

    def match(
        self, train_rows: Rows, train_match: NDArray[np.bool_], parts: Mapping[str, Rows]
    ) -> Mapping[str, Floats]:
        some = evenly(np.arange(len(train_rows)), LEARNT)
        learnt = {part: self._pairs(part, train_rows[some], train_match[some]) for part in self._parts}
        readings = self.sight.readings.items()
        return {scored(held, reading): learnt[part](rows) for held, rows in parts.items() for reading, part in readings}

    def points(self, rows: Rows, reading: str) -> Any:
        return self.sight.points(rows, reading)

    @property
    def _parts(self) -> list[str]:
        return list(dict.fromkeys(self.sight.readings.values()))

    def _classes(self, part: str, rows: Rows, labels: NDArray[Any], classes: int) -> Says:
        """What says the probabilities of further rows; strength and weight are chosen on products held out of these."""
        see, weights = self.sight.vectors, self.sight.weights(part)

        def says(choice: tuple[float, float], places: Rows, judged: Rows) -> Floats:
            strength, weight = choice
            learn = learn_classes(see(part, weight, rows[places]), labels[places], classes, strength)
            return learn(see(part, weight, judged))

        @cache
        def judge(choice: tuple[float, float]) -> float:
            groups = self.sight.groups[rows]
            return judge_classes(labels, groups, lambda fold: says(choice, fold.learnt, rows[fold.judged]))

        strength, _ = best([(strength, weights[0]) for strength in STRENGTHS], judge)
        choice = best([(strength, weight) for weight in weights], judge)
        return partial(says, choice, np.arange(len(rows)))

    def _pairs(self, part: str, rows_n2: Rows, match: NDArray[np.bool_]) -> Says:
        """Likewise of pairs, by average precision."""
        sees_more = self.sight.apart(part, rows_n2[:1]) is not None

        def says(strength: float, places: Rows, judged_n2: Rows) -> Floats:
            return _learn_pairs(self.sight, part, strength, rows_n2[places], match[places])(judged_n2)

        def judge(strength: float) -> float:
            groups = self.sight.groups[rows_n2[:, 0]]
            return judge_pairs(match, groups, lambda fold: says(strength, fold.learnt, rows_n2[fold.judged]))

        choices = (COMMON, *APART) if sees_more else (COMMON,)
        return partial(says, best(choices, judge), np.arange(len(rows_n2)))


def _learn_pairs(sight: Sight, part: str, strength: float, rows_n2: Rows, match: NDArray[np.bool_]) -> Says:
    scale = StandardScaler().fit(sight.common(part, rows_n2))

    def vectors(rows: Rows) -> Any:
        scaled = scale.transform(sight.common(part, rows))
        if strength == COMMON:
            return scaled
        apart = sight.apart(part, rows)
        return sp.hstack([apart, scaled]).tocsr() if sp.issparse(apart) else np.hstack([apart, scaled])

    model = fitted(vectors(rows_n2), match, strength or 1.0)
    return lambda rows: model.predict_proba(vectors(rows))[:, 1] if len(rows) else np.zeros(0)
