"""Gradient-boosted trees on words and picture together; on few numbers, since trees are slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier

from workbench.tasks.baselines import pairs
from workbench.tasks.baselines.features import Features
from workbench.tasks.baselines.linear import NONE, Floats
from workbench.tasks.readings import scored

TEXT, PICTURE = 64, 32  # numbers that words and picture are reduced to
ROUNDS, TREES, FEWEST = (
    200,
    3000,
    20,
)  # of boosting; trees in all, of which each round takes one a class; rounds at least
LEARNT = 50_000  # labels learnt from, at most


@dataclass(frozen=True)
class Trees:
    """It is asked with all that a listing has: a modality that lacks is a missing value to it."""

    features: Features
    name: str = "trees"

    def classify(
        self, train_rows: NDArray[np.int64], labels: NDArray[Any], classes: int, rows: NDArray[np.int64]
    ) -> Mapping[str, Floats]:
        """The (n, classes) probabilities of `rows`."""
        some = _some(len(train_rows))
        x, labels, further = self._vectors[train_rows[some]], labels[some], self._vectors[rows]
        if labels.ndim == 2:
            each = [_boosted(x, holds, further, 2, classes)[:, 1] for holds in labels.T.astype(np.int64)]
            return {"both": np.stack(each, 1)}
        return {"both": _boosted(x, labels, further, classes, len(np.unique(labels)))}

    def match(
        self, train_rows: NDArray[np.int64], train_match: NDArray[np.bool_], parts: Mapping[str, NDArray[np.int64]]
    ) -> Mapping[str, Floats]:
        """By part the (n,) probabilities that the (n, 2) `rows` match."""
        sizes = [len(rows) for rows in parts.values()]
        further = np.concatenate([np.zeros((0, 2), np.int64), *parts.values()])
        some = _some(len(train_rows))
        learnt = self._pairs(train_rows[some]), train_match[some].astype(np.int64)
        found = _boosted(*learnt, self._pairs(further), 2, 1)[:, 1]
        return {scored(part, "both"): p for part, p in zip(parts, np.split(found, np.cumsum(sizes)[:-1]), strict=True)}

    def points(self, rows: NDArray[np.int64], reading: str) -> None:
        """Trees know no distance."""

    def _pairs(self, rows_n2: NDArray[np.int64]) -> Floats:
        common = (pairs.of_text(self.features, rows_n2), pairs.of_picture(self.features, rows_n2))
        return np.hstack([*common, pairs.apart(self._vectors, rows_n2)])

    @cached_property
    def _vectors(self) -> Floats:
        """(N, 96) NaN where a listing has no text, or no picture."""
        train = self.features.catalog.rows("train")
        text, picture = self.features.text, self.features.pictures
        reduced = []
        for vectors, has, size in ((text, self.features.has_text, TEXT), (picture, self.features.has_picture, PICTURE)):
            known = train[has[train]]
            size = min(size, vectors.shape[1] - 1, len(known) - 1)
            if size > 0:
                with np.errstate(divide="ignore", invalid="ignore"):  # where all are equal
                    svd = TruncatedSVD(size, random_state=0).fit(vectors[known])
                reduced.append(np.where(has[:, None], svd.transform(vectors), np.nan))
        return np.hstack(reduced) if reduced else np.zeros((text.shape[0], 1))


def _some(labels: int) -> slice:
    """At most LEARNT of them, evenly."""
    return slice(None, None, max(1, -(-labels // LEARNT)))


def _boosted(x: Floats, labels: NDArray[np.int64], further: Floats, classes: int, at_once: int) -> Floats:
    """(m, classes) probabilities; of few rounds where `at_once` trees are grown in each."""
    blind = np.isnan(x).all(0)  # which can't be put into bins
    x, further = np.where(blind, 0, x), np.where(blind, 0, further)
    known = np.unique(labels)
    found = np.full((len(further), classes), NONE)
    rounds = int(np.clip(TREES // max(1, at_once), FEWEST, ROUNDS))
    model = HistGradientBoostingClassifier(max_iter=rounds, max_leaf_nodes=15, early_stopping=False, random_state=0)
    if len(further):
        found[:, known] += model.fit(x, labels).predict_proba(further) if len(known) > 1 else 1.0
    return np.asarray(found / found.sum(1, keepdims=True))
