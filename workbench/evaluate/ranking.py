"""Queries answered by a ranked gallery: hits among the first k, reciprocal rank, nDCG.

Where answers tie, each measure is its expected value over every order of the tied ones, in closed form: nobody gains
by the order in which a gallery happens to be. Constant points over 1,000 answers give R@1 = 0.001.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from workbench.evaluate.intervals import Bools, Floats

KS = (1, 5, 10)
DECIMALS = 6  # cosines that agree so far are ties: points in 32 bits can't tell them apart


def cosines(queries_qD: Any, gallery_gD: Any) -> Floats:
    """(q, g) of points of length 1, dense or sparse, to so many digits as 32 bits can tell: what is equal ties."""
    product = queries_qD @ gallery_gD.T
    dense = product.toarray() if sp.issparse(product) else product
    return np.asarray(dense, np.float64).round(DECIMALS)


def rank_scores(
    scores_qg: Floats, relevant_qg: Bools, barred_qg: Bools | None = None, ks: Sequence[int] = KS
) -> dict[str, Floats]:
    """(q,) of each measure of each query; higher scores are nearer. NaN for a query with nothing to find.

    `relevant`: which answers belong to a query, each wholly or not at all. `barred`: which are no answers, such as the
    query itself; they are out of the gallery, and of what there is to find.

    r_at_k    whether one of the relevant answers is among the first k
    mrr       1 / rank of the first relevant answer
    ndcg_at_k with k the largest: sum over the relevant answers among the first k of 1 / log2(1 + rank), over the most
              that it could be. As scikit-learn's `ndcg_score`.
    """
    names = [*(f"r_at_{k}" for k in ks), "mrr", f"ndcg_at_{max(ks)}"]
    measures = np.full((len(names), len(scores_qg)), np.nan)
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, max(ks) + 2)))])
    for q, (scores, relevant) in enumerate(zip(scores_qg, relevant_qg, strict=True)):
        open_ = slice(None) if barred_qg is None else ~barred_qg[q]
        places = _places(scores[open_], relevant[open_])
        if len(places):
            measures[:, q] = _measured(places, ks, discounts)
    return dict(zip(names, measures, strict=True))


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
