"""Held-out queries put to the gallery of their part: what became of each, and what was found first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.draws import LABELS, stream
from workbench.evaluate.ranking import cosines, rank_scores
from workbench.tasks.retrieve.belonging import Belonging

QUERIES = 4000  # of each part that are asked, at most
SHOWN = 5  # of what was found first
MEASURES = ("r_at_1", "r_at_5", "r_at_10", "mrr", "ndcg_at_10")
_AT_ONCE = 4_000_000  # scores

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gallery:
    """The listings of one part of which it is known what belongs to them, and those that are asked."""

    belonging: Belonging
    rows: Ints  # ascending
    queries: Ints  # rows to which another listing of the gallery belongs; of many, drawn ones

    @classmethod
    def of(cls, belonging: Belonging, rows: Ints) -> Gallery:
        queries = belonging.answerable(rows)
        if len(queries) > QUERIES:
            queries = np.sort(stream(0, LABELS).choice(queries, QUERIES, replace=False))
        return cls(belonging, belonging.known(rows), queries)

    @property
    def places(self) -> Ints:
        """Of the queries among the rows."""
        return np.searchsorted(self.rows, self.queries)

    def ask(self, queries_qD: Any, gallery_gD: Any) -> tuple[Floats, Ints]:
        """(q, measures) what became of each query by cosine, and (q, SHOWN) the rows that were found first, -1 where
        there are no more. Points are of length 1, dense or sparse."""
        measures, found = [np.zeros((0, len(MEASURES)))], [np.zeros((0, SHOWN), np.int64)]
        step = max(1, _AT_ONCE // max(1, len(self.rows)))
        for start in range(0, len(self.queries), step):
            chosen = self.queries[start : start + step]
            barred = self.belonging.barred(chosen, self.rows)
            scores = cosines(queries_qD[start : start + step], gallery_gD)
            ranked = rank_scores(scores, self.belonging.answers(chosen, self.rows), barred)
            measures.append(np.stack([ranked[name] for name in MEASURES], 1))
            scores[barred] = -np.inf
            found.append(self._first(scores))
        return np.concatenate(measures), np.concatenate(found)

    def _first(self, scores_qg: Floats) -> Ints:
        """(q, SHOWN) of equally near ones the first."""
        kept = min(SHOWN, scores_qg.shape[1])
        least = np.partition(scores_qg, -kept, 1)[:, -kept]
        found = np.full((len(scores_qg), SHOWN), -1)
        for q, (scores, bound) in enumerate(zip(scores_qg, least, strict=True)):
            near = np.flatnonzero((scores >= bound) & (scores > -np.inf))
            near = near[np.argsort(-scores[near], kind="stable")][:kept]
            found[q, : len(near)] = self.rows[near]
        return found


def named(measures: Floats) -> Mapping[str, Floats]:
    """Each measure of (q, measures) by its name."""
    return dict(zip(MEASURES, measures.T, strict=True))
