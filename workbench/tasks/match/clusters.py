"""From pairs to products: what is connected by pairs that match, where nothing within contradicts.

Pairs don't know of one another: A may match B, and B match C, where A and C don't match. Such a chain is taken apart
by average linkage: two clusters are joined, the surest first, while the pairs known between them match on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import polars as pl

from workbench.catalog.duplicates.clusters import components
from workbench.evaluate.intervals import Floats, Ints


@dataclass(frozen=True)
class Clusters:
    """Listings 0..count-1 by product, as pairs say."""

    joined: Ints  # (count,) the smallest listing that each is connected with
    label: Ints  # (count,) the same once contradicted clusters were taken apart
    against: Ints  # places of the pairs that contradict: below the threshold, of two listings that are connected

    @property
    def split(self) -> int:
        """How many connected clusters were taken apart."""
        parts = np.unique(np.stack([self.joined, self.label], 1), axis=0)[:, 0]
        return len(np.unique(parts[1:][np.diff(parts) == 0]))

    def table(self, ids: pl.Series) -> pl.DataFrame:
        """id, cluster (the id of its first listing), listings (how many it has), connected (the id of the first listing
        that it is connected with: another than `cluster` where a chain was taken apart)."""
        of = {"cluster": ids[self.label], "connected": ids[self.joined]}
        return pl.DataFrame({"id": ids, **of}).with_columns(pl.len().over("cluster").alias("listings"))


def cluster(count: int, left_n: Ints, right_n: Ints, probability_n: Floats, threshold: float) -> Clusters:
    """Clusters of `count` listings from the pairs that were looked at; one that wasn't says nothing for or against."""
    matches = probability_n >= threshold
    joined = components(count, left_n[matches], right_n[matches])
    against = np.flatnonzero((joined[left_n] == joined[right_n]) & ~matches & (left_n != right_n))
    doubted = np.isin(joined, joined[left_n[against]])
    within = doubted[left_n] & (joined[left_n] == joined[right_n]) & (left_n != right_n)
    merges = np.array([*_merges(left_n[within], right_n[within], probability_n[within], threshold)], np.int64)
    sure = matches & ~within
    edges = np.concatenate([np.stack([left_n[sure], right_n[sure]], 1), merges.reshape(-1, 2)])
    return Clusters(joined, components(count, *edges.T), against)


def _merges(left_n: Ints, right_n: Ints, probability_n: Floats, threshold: float) -> Iterator[tuple[int, int]]:
    """Which cluster takes in which, by average linkage over the known pairs; a cluster has its first listing's name."""
    known: dict[int, dict[int, tuple[float, int]]] = {}  # between two clusters: sum of probabilities, number of pairs
    for a, b, p in zip(left_n.tolist(), right_n.tolist(), probability_n.tolist(), strict=True):
        total, number = known.setdefault(a, {}).get(b, (0.0, 0))
        known[a][b] = known.setdefault(b, {})[a] = total + p, number + 1
    heap = [(-total / n, a, b) for a, others in known.items() for b, (total, n) in others.items() if a < b]
    heapify(heap)
    while heap and -heap[0][0] >= threshold:
        mean, a, b = heappop(heap)
        if known.get(a, {}).get(b) is None or -known[a][b][0] / known[a][b][1] != mean:
            continue  # of clusters that have changed since
        yield a, b
        del known[a][b]
        for other, (total, n) in known.pop(b).items():
            if other == a:
                continue
            del known[other][b]
            before = known[a].get(other, (0.0, 0))
            known[a][other] = known[other][a] = both = total + before[0], n + before[1]
            heappush(heap, (-both[0] / both[1], min(a, other), max(a, other)))


def agreement(label_n: Ints, product_n: Ints) -> dict[str, float | None]:
    """How clusters agree with the true products: precision, recall and F1 of the pairs that are in one cluster, and
    B-cubed (Bagga & Baldwin 1998), the mean over listings; null over no pairs."""
    cell, of_cell = _counts(np.stack([label_n, product_n], 1))
    clusters, of_cluster = _counts(label_n)
    products, of_product = _counts(product_n)
    both, found, true = (float((n * (n - 1) // 2).sum()) for n in (cell, clusters, products))
    size = cell[of_cell].astype(np.float64)
    cubed = [float(np.mean(size / n)) if len(size) else None for n in (clusters[of_cluster], products[of_product])]
    return {
        "precision": both / found if found else None,
        "recall": both / true if true else None,
        "f1": 2 * both / (found + true) if found + true else None,
        "b_cubed_precision": cubed[0],
        "b_cubed_recall": cubed[1],
    }


def _counts(names: Ints) -> tuple[Ints, Ints]:
    """How often each name occurs, and which of them each place has."""
    _, of, counts = np.unique(names, axis=0, return_inverse=True, return_counts=True)
    return counts, of.reshape(-1)
