"""Pairs of kin -> what is done with them: clusters, of which one listing is kept, and lines that join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]


def components(count: int, left: Ints, right: Ints) -> Ints:
    """(count,) the smallest number that each of 0..count-1 is connected with by the pairs."""
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    first = np.full(label.max(initial=-1) + 1, count, np.int64)
    np.minimum.at(first, label, np.arange(count))
    component: Ints = first[label]
    return component


def cluster(pairs: pl.DataFrame, actions: Mapping[str, str], rank: Sequence[tuple[int, ...]] | Ints) -> pl.DataFrame:
    """row, cluster (its smallest row), keep: of every listing; in a cluster one is kept, that of the highest rank.

    `pairs` has left, right, kind; those whose action is "keep one" make clusters.
    """
    count = len(rank)
    chosen = pairs.filter(
        pl.col("kind").replace_strict(actions, default="ignore", return_dtype=pl.String) == "keep one"
    )
    label = components(count, *(chosen[side].to_numpy().astype(np.int64) for side in ("left", "right")))
    table = pl.DataFrame({"row": np.arange(count, dtype=np.uint32), "cluster": label.astype(np.uint32), "rank": rank})
    best = pl.col("row").sort_by("rank", "row", descending=[True, False]).first().over("cluster")
    return table.select("row", "cluster", (pl.col("row") == best).alias("keep"))
