"""Queries answered by a ranked gallery: hits among the first k, reciprocal rank, nDCG.

Where answers tie, each measure is its expected value over every order of the tied ones, in closed form: nobody gains
by the order in which a gallery happens to be. Constant points over 1,000 answers give R@1 = 0.001.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from workbench.evaluate.intervals import Bools, Floats, mean

KS = (1, 5, 10)
DECIMALS = 6  # cosines that agree so far are ties: points in 32 bits can't tell them apart
SCORES = 4_000_000  # at once
Said = Callable[[slice], Bools]  # places of queries -> (queries, gallery)


@dataclass(frozen=True)
class Ranked:
    """What became of each query."""

    measures: Mapping[str, Floats]  # (q,) of r_at_1 …, mrr, ndcg_at_10; NaN for a query with nothing to find

    @property
    def asked(self) -> Bools:
        """(q,) whether there was something to find: only such queries are measured."""
        return ~np.isnan(self.measures["mrr"])

    def over(self, weights_Rq: Floats) -> dict[str, Floats]:
        """(R,) mean of each measure over the queries that had something to find; NaN where none had."""
        return {name: mean(values_q, weights_Rq) for name, values_q in self.measures.items()}


def undefined(ranked: Ranked) -> dict[str, str]:
    """Why nothing can be told: measure -> the reason, in words; empty where it can."""
    if ranked.asked.any():
        return {}
    n = len(ranked.asked)
    why = f"none of the {n} queries has anything to find" if n else "there are no queries"
    return dict.fromkeys(ranked.measures, f"undefined, because {why}")


def rank(
    queries_qD: Any,
    gallery_gD: Any,
    relevant: Said,
    barred: Said | None = None,
    ks: Sequence[int] = KS,
) -> Ranked:
    """Each query against the whole gallery by cosine, some queries at a time; points of length 1, dense or sparse.

    `relevant`: which answers belong to the queries of a slice. `barred`: which are no answers to them, such as the
    query itself; they are out of the gallery, and of what there is to find.
    """
    step, found = max(1, SCORES // max(1, gallery_gD.shape[0])), []
    for start in range(0, queries_qD.shape[0], step):
        at = slice(start, min(start + step, queries_qD.shape[0]))
        scores = cosines(queries_qD[at], gallery_gD)
        found.append(rank_scores(scores, relevant(at), barred(at) if barred else None, ks).measures)
    none = rank_scores(np.zeros((0, 1)), np.zeros((0, 1), bool), None, ks).measures
    return Ranked({name: np.concatenate([none[name], *(part[name] for part in found)]) for name in none})


def cosines(queries_qD: Any, gallery_gD: Any) -> Floats:
    """(q, g) of points of length 1, dense or sparse, to so many digits as 32 bits can tell: what is equal ties."""
    product = queries_qD @ gallery_gD.T
    dense = product.toarray() if sp.issparse(product) else product
    return np.asarray(dense, np.float64).round(DECIMALS)


def rank_scores(
    scores_qg: Floats, relevant_qg: Bools, barred_qg: Bools | None = None, ks: Sequence[int] = KS
) -> Ranked:
    """The same from scores, higher being nearer.

    r_at_k    whether one of the relevant answers is among the first k
    mrr       1 / rank of the first relevant answer
    ndcg_at_k with k the largest: sum over the relevant answers among the first k of 1 / log2(1 + rank), over the most
              that it could be; each is relevant or not. As scikit-learn's `ndcg_score`.
    """
    most = max(ks)
    names = [*(f"r_at_{k}" for k in ks), "mrr", f"ndcg_at_{most}"]
    measures = np.full((len(names), len(scores_qg)), np.nan)
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, most + 2)))])
    for q, (scores, relevant) in enumerate(zip(scores_qg, relevant_qg, strict=True)):
        open_ = slice(None) if barred_qg is None else ~barred_qg[q]
        places = _places(scores[open_], relevant[open_])
        if len(places):
            measures[:, q] = _measured(places, ks, discounts)
    return Ranked(dict(zip(names, measures, strict=True)))


def _places(scores_g: Floats, relevant_g: Bools) -> NDArray[np.int64]:
    """(relevant, 2) for each relevant answer: how many have a higher score, and how many its own; best first."""
    wanted = -np.sort(-scores_g[relevant_g])
    if not len(wanted):
        return np.zeros((0, 2), np.int64)
    ordered = np.sort(scores_g[scores_g >= wanted[-1]])
    above = len(ordered) - np.searchsorted(ordered, wanted, "right")
    return np.stack([above, len(ordered) - np.searchsorted(ordered, wanted, "left") - above], 1)


def _measured(places_r2: NDArray[np.int64], ks: Sequence[int], discounts: Floats) -> list[float]:
    above, tied = (int(number) for number in places_r2[0])
    first = _first_of(tied, int((places_r2[:, 0] == above).sum()))
    hits = [float(first[: max(0, k - above)].sum()) for k in ks]
    reciprocal = float((first / np.arange(above + 1, above + 1 + len(first))).sum())
    most = len(discounts) - 1
    lowest, highest = places_r2[:, 0].clip(max=most), places_r2.sum(1).clip(max=most)
    gain = ((discounts[highest] - discounts[lowest]) / places_r2[:, 1]).sum()
    return [*hits, reciprocal, float(gain / discounts[min(len(places_r2), most)])]


@lru_cache(4096)
def _first_of(tied: int, relevant: int) -> Floats:
    """Chance that the first of the relevant ones is 1st, 2nd, … of the tied ones, in a random order."""
    x = np.arange(1, tied - relevant + 1)
    return np.cumprod(np.concatenate([[relevant / tied], (tied - x - relevant + 1) / (tied - x)]))
