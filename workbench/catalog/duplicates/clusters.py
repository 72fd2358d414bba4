"""Pairs of kin -> what is done with them: clusters, of which one listing is kept, and lines that join."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def components(count: int, left: Ints, right: Ints) -> Ints:
    """(count,) the smallest number that each of 0..count-1 is connected with by the pairs."""
    from scipy.sparse import coo_array  # a tenth of a second
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    first = np.full(label.max(initial=-1) + 1, count, np.int64)
    np.minimum.at(first, label, np.arange(count))
    component: Ints = first[label]
    return component


def cluster(pairs: pl.DataFrame, actions: Mapping[str, str], rank: Ints, groups: pl.Series) -> pl.DataFrame:
    """row, cluster (its smallest row), keep, of every listing; `pairs` whose action is "keep one" make clusters.

    Of a cluster the listing of the highest rank is kept, the first if several are, with its variants: `groups` (N,).
    """
    count = len(rank)
    action = pl.col("kind").replace_strict(actions, default="ignore", return_dtype=pl.String)
    chosen = pairs.filter(action == "keep one")
    label = components(count, *(chosen[side].to_numpy().astype(np.int64) for side in ("left", "right")))
    table = pl.DataFrame({"row": np.arange(count, dtype=np.uint32), "cluster": label.astype(np.uint32), "rank": rank})
    best = pl.col("group").sort_by("rank", "row", descending=[True, False]).first().over("cluster")
    return table.with_columns(groups.alias("group")).select("row", "cluster", (pl.col("group") == best).alias("keep"))
