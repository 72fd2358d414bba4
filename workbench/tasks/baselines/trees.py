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
from workbench.tasks.baselines.features import Features, evenly
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
        some = evenly(np.arange(len(train_rows)), LEARNT)
        x, labels, further = self._vectors(train_rows[some]), labels[some], self._vectors(rows)
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
        some = evenly(np.arange(len(train_rows)), LEARNT)
        learnt = self._pairs(train_rows[some]), train_match[some].astype(np.int64)
        found = _boosted(*learnt, self._pairs(further), 2, 1)[:, 1]
        return {scored(part, "both"): p for part, p in zip(parts, np.split(found, np.cumsum(sizes)[:-1]), strict=True)}

    def points(self, rows: NDArray[np.int64], reading: str) -> None:
        """Trees know no distance."""

    def _pairs(self, rows_n2: NDArray[np.int64]) -> Floats:
        rows, places = np.unique(rows_n2, return_inverse=True)
        common = (pairs.of_text(self.features, rows_n2), pairs.of_picture(self.features, rows_n2))
        return np.hstack([*common, pairs.apart(self._vectors(rows), places.reshape(-1, 2))])

    def _vectors(self, rows: NDArray[np.int64]) -> Floats:
        """(n, 96) NaN where a listing has no text, or no picture."""
        kinds = [(self.features.text[rows], self.features.has_text), (None, self.features.has_picture)]
        found = [np.zeros((len(rows), 1))]
        for (vectors, has), svd in zip(kinds, self._reduced, strict=True):
            if svd:
                reduced = svd.transform(self.features.pictures_of(rows) if vectors is None else vectors)
                found.append(np.where(has[rows][:, None], reduced, np.nan))
        return np.hstack(found)

    @cached_property
    def _reduced(self) -> list[TruncatedSVD | None]:
        """Of words and of pictures, learnt on the train part; None where there is nothing to learn from."""
        train = self.features.catalog.rows("train")
        text, picture = (
            evenly(train[has[train]], LEARNT) for has in (self.features.has_text, self.features.has_picture)
        )
        known = ((self.features.text[text], TEXT), (self.features.pictures_of(picture), PICTURE))
        return [_svd(vectors, size) for vectors, size in known]


def _svd(vectors: Any, size: int) -> TruncatedSVD | None:
    size = min(size, vectors.shape[1] - 1, vectors.shape[0] - 1)
    if size < 1:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # where all are equal
        return TruncatedSVD(size, random_state=0).fit(vectors)


def _boosted(x: Floats, labels: NDArray[np.int64], further: Floats, classes: int, at_once: int) -> Floats:
    """(m, classes) probabilities; of few rounds where `at_once` trees are grown in each."""
    blind = np.isnan(x).all(0)  # which can't be put into bins
    x, further = np.where(blind, 0, x), np.where(blind, 0, further)
    known = np.unique(labels)
    found = np.full((len(further), classes), NONE)
    rounds = int(np.clip(TREES // max(1, at_once), FEWEST, ROUNDS))
    how = {"max_leaf_nodes": 15, "l2_regularization": 1.0}  # without it the leaves of rare classes grow without bounds
    model = HistGradientBoostingClassifier(max_iter=rounds, early_stopping=False, random_state=0, **how)
    if len(further):
        found[:, known] += model.fit(x, labels).predict_proba(further) if len(known) > 1 else 1.0
    return np.asarray(found / found.sum(1, keepdims=True))
