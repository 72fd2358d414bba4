"""Ranking: every order of the tied answers by hand, scikit-learn where it defines the same."""

from itertools import pairwise, permutations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from workbench.evaluate import ranking
from workbench.evaluate.ranking import rank, rank_scores, undefined

STREAM = np.random.default_rng(0)
ANSWERS = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6)


def in_this_order(relevant: tuple[bool, ...], k: int) -> dict[str, float]:
    ranks = [place for place, hit in enumerate(relevant, 1) if hit]
    best = sum(1 / np.log2(1 + place) for place in range(1, min(len(ranks), k) + 1))
    gain = sum(1 / np.log2(1 + place) for place in ranks if place <= k)
    return {"r_at_1": ranks[0] == 1, f"r_at_{k}": ranks[0] <= k, "mrr": 1 / ranks[0], f"ndcg_at_{k}": gain / best}


@settings(max_examples=80, deadline=None)
@given(ANSWERS, st.integers(2, 4))
def test_ties_are_the_mean_over_every_order(answers: list[tuple[int, bool]], k: int) -> None:
    scores, relevant = np.array([s for s, _ in answers]) * 1.0, np.array([r for _, r in answers])
    found = rank_scores(scores[None], relevant[None], ks=(1, k)).measures
    if not relevant.any():
        assert all(np.isnan(values).all() for values in found.values())
        return
    ordered = [o for o in permutations(answers) if all(a[0] >= b[0] for a, b in pairwise(o))]
    each = [in_this_order(tuple(r for _, r in order), k) for order in ordered]
    for name, values in found.items():
        assert values[0] == pytest.approx(np.mean([one[name] for one in each]), abs=1e-12), name


@pytest.mark.parametrize("decimals", [8, 1, 0])
def test_ndcg_equals_scikit_learn_with_ties(decimals: int) -> None:
    relevant = STREAM.random((50, 40)) < 0.1
    relevant[:, 0] = True
    scores = STREAM.random((50, 40)).round(decimals) + relevant * 0.25
    weights = np.vstack([np.ones(50), STREAM.random((3, 50))])
    found = rank_scores(scores, relevant, ks=(1, 10)).over(weights)["ndcg_at_10"]
    expected = [ndcg_score(relevant, scores, k=10, sample_weight=w) for w in weights]
    assert found == pytest.approx(expected, abs=1e-12)


def test_one_relevant_answer_equals_scikit_learn() -> None:
    truth, scores = STREAM.integers(30, size=200), STREAM.random((200, 30))
    relevant = np.eye(30, dtype=bool)[truth]
    found = rank_scores(scores, relevant).over(np.ones((1, 200)))
    assert found["mrr"] == pytest.approx([label_ranking_average_precision_score(relevant, scores)], abs=1e-12)
    for k in (1, 5, 10):
        assert found[f"r_at_{k}"] == pytest.approx([top_k_accuracy_score(truth, scores, k=k)], abs=1e-12)


def test_constant_points_find_nothing_but_by_chance() -> None:
    n, width = 1000, 96
    point = STREAM.normal(size=width)
    points = np.tile((point / np.linalg.norm(point)).astype(np.float32), (n, 1))
    found = rank(points, points, lambda at: np.arange(n)[at, None] == np.arange(n)).over(np.ones((1, n)))
    assert found["r_at_1"] == pytest.approx([1 / n], abs=1e-15)
    assert rank(sp.csr_array(points), sp.csr_array(points), lambda at: np.eye(n, dtype=bool)[at]).over(np.ones((1, n)))[
        "r_at_1"
    ] == pytest.approx([1 / n], abs=1e-15)
    assert found["r_at_10"] == pytest.approx([10 / n], abs=1e-12)
    assert found["mrr"] == pytest.approx([np.mean(1 / np.arange(1, n + 1))], abs=1e-12)


def test_noise_of_32_bits_breaks_no_tie() -> None:
    n, point = 200, np.ones(64) / 8
    noisy = (point + STREAM.normal(size=(n, 64)) * 1e-9).astype(np.float32)
    relevant = np.eye(n, dtype=bool)
    assert rank(noisy, noisy, lambda at: relevant[at]).over(np.ones((1, n)))["r_at_1"] == pytest.approx([1 / n])


def test_points_some_queries_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    points = STREAM.normal(size=(60, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    product, seller = np.arange(60) // 3, np.arange(60) % 3  # three listings of each product, by three sellers

    def relevant(at: slice) -> np.ndarray:
        return product[at, None] == product

    def barred(at: slice) -> np.ndarray:
        return seller[at, None] == seller

    whole = rank(points, points, relevant, barred)
    scores = np.where(seller[:, None] == seller, -np.inf, points @ points.T)  # barred: behind all the others
    relevant_elsewhere = relevant(slice(None)) & ~barred(slice(None))
    other = rank_scores(scores, relevant_elsewhere)
    monkeypatch.setattr(ranking, "SCORES", 60 * 7)
    for name, values in rank(points, points, relevant, barred).measures.items():
        assert np.array_equal(values, whole.measures[name])
        assert values == pytest.approx(other.measures[name], abs=1e-12)


def test_queries_with_nothing_to_find_are_left_out() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.4]])
    relevant = np.array([[True, False], [False, False], [False, True]])
    found = rank_scores(scores, relevant, ks=(1, 2))
    assert found.asked.tolist() == [True, False, True]
    weights = np.array([[1.0, 1, 1], [0, 5, 2], [0, 1, 0]])
    assert found.over(weights)["mrr"] == pytest.approx([0.75, 0.5, np.nan], nan_ok=True)
    assert undefined(found) == {}
    assert undefined(rank_scores(scores, relevant & False))["mrr"] == (
        "undefined, because none of the 3 queries has anything to find"
    )
    nobody = rank(np.zeros((0, 4)), np.ones((3, 4)), lambda at: np.zeros((0, 3), bool))
    assert undefined(nobody)["r_at_1"] == "undefined, because there are no queries"
    assert undefined(rank(np.ones((2, 4)), np.ones((0, 4)), lambda at: np.zeros((2, 0), bool)))
