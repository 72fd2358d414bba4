"""Clusters from pairs: what is connected, taken apart where the pairs within contradict; all computed by hand."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from workbench.tasks.match.clusters import agreement, cluster


def of(count: int, pairs: dict[tuple[int, int], float], threshold: float = 0.9):
    left, right = np.array([*pairs], np.int64).reshape(-1, 2).T
    return cluster(count, left, right, np.array([*pairs.values()], np.float64), threshold)


def test_without_a_contradiction_what_is_connected_is_one_product() -> None:
    found = of(6, {(0, 2): 0.95, (2, 4): 0.9, (1, 3): 0.99, (3, 5): 0.1})
    assert found.joined.tolist() == found.label.tolist() == [0, 1, 0, 1, 0, 5]
    assert found.split == len(found.against) == 0


def test_a_chain_that_contradicts_itself_is_taken_apart_at_its_weakest_link() -> None:
    """0-1 is surest; 2 then has (0.92 + 0.3) / 2 = 0.61 to both, so it goes with 3: 0.91."""
    found = of(5, {(0, 1): 0.97, (1, 2): 0.92, (0, 2): 0.3, (3, 2): 0.91, (3, 4): 0.2})
    assert found.joined.tolist() == [0, 0, 0, 0, 4]
    assert found.label.tolist() == [0, 0, 2, 2, 4]
    assert found.split == 1 and found.against.tolist() == [2]


def test_one_doubt_among_many_sure_pairs_is_outvoted() -> None:
    """0, 1 and 2 are one at 0.99; 3 has (0.99 + 0.99 + 0.75) / 3 = 0.91 to them."""
    pairs = dict.fromkeys(combinations(range(4), 2), 0.99) | {(0, 3): 0.75}
    assert of(4, pairs).label.tolist() == [0, 0, 0, 0]
    assert of(4, pairs, 0.95).label.tolist() == [0, 0, 0, 3]


def test_a_pair_told_twice_counts_twice_and_a_listing_with_itself_not_at_all() -> None:
    left, right = np.array([0, 1, 1, 2, 0]), np.array([1, 0, 2, 2, 2])
    found = cluster(3, left, right, np.array([0.9, 0.94, 0.99, 0.0, 0.5]), 0.9)
    assert found.label.tolist() == [0, 1, 1]


def test_the_order_of_pairs_and_of_their_sides_does_not_count() -> None:
    stream = np.random.default_rng(0)
    pairs = {tuple(map(int, stream.choice(30, 2, replace=False))): stream.random() for _ in range(120)}
    pairs = {pair: p for pair, p in pairs.items() if pair[::-1] not in pairs}
    found = of(30, pairs, 0.7)
    assert 0 < found.split < len(np.unique(found.label)) - found.split
    shuffled = dict(stream.permutation(np.array([*pairs.items()], object)))
    assert np.array_equal(found.label, of(30, shuffled, 0.7).label)
    assert np.array_equal(found.label, of(30, {(b, a): p for (a, b), p in pairs.items()}, 0.7).label)
    for label in np.unique(found.label):  # each lies within what is connected, and has its first one's name
        members = np.flatnonzero(found.label == label)
        assert members[0] == label and len(np.unique(found.joined[members])) == 1


def test_nothing_at_all() -> None:
    found = of(0, {})
    assert found.label.tolist() == [] and found.split == 0
    assert agreement(found.label, found.label)["precision"] is None
    assert of(2, {}).label.tolist() == [0, 1]


def test_the_table() -> None:
    table = of(3, {(0, 1): 0.97, (1, 2): 0.92, (0, 2): 0.3}).table(pl.Series(["a", "b", "c"]))
    assert table.rows() == [("a", "a", "a", 2), ("b", "a", "a", 2), ("c", "c", "a", 1)]
    assert table.columns == ["id", "cluster", "connected", "listings"]


def test_agreement_by_hand() -> None:
    """Products {0 1 2} {3 4}, clusters {0 1} {2 3 4}: of four pairs found two are true, of four true ones two found."""
    found = agreement(np.array([7, 7, 9, 9, 9]), np.array([1, 1, 1, 2, 2]))
    assert found == {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "b_cubed_precision": pytest.approx((1 + 1 + 1 / 3 + 2 / 3 + 2 / 3) / 5),
        "b_cubed_recall": pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1) / 5),
    }
    alone = agreement(np.arange(3), np.zeros(3, np.int64))
    assert alone["precision"] is None and alone["recall"] == 0 and alone["b_cubed_precision"] == 1
