"""Ranking: every order of the tied answers by hand, scikit-learn where it defines the same."""

from collections.abc import Callable
from itertools import pairwise, permutations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from workbench.evaluate.intervals import mean
from workbench.evaluate.ranking import cosines, rank_scores

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
    found = rank_scores(scores[None], relevant[None], ks=(1, k))
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
    found = mean(rank_scores(scores, relevant, ks=(1, 10))["ndcg_at_10"], weights)
    expected = [ndcg_score(relevant, scores, k=10, sample_weight=w) for w in weights]
    assert found == pytest.approx(expected, abs=1e-12)


def test_one_relevant_answer_equals_scikit_learn() -> None:
    truth, scores = STREAM.integers(30, size=200), STREAM.random((200, 30))
    relevant = np.eye(30, dtype=bool)[truth]
    found = rank_scores(scores, relevant)
    assert found["mrr"].mean() == pytest.approx(label_ranking_average_precision_score(relevant, scores), abs=1e-12)
    for k in (1, 5, 10):
        assert found[f"r_at_{k}"].mean() == pytest.approx(top_k_accuracy_score(truth, scores, k=k), abs=1e-12)


@pytest.mark.parametrize("see", [np.asarray, sp.csr_array])
def test_constant_points_find_nothing_but_by_chance(see: Callable) -> None:
    n = 1000
    point = STREAM.normal(size=96)
    points = see(np.tile((point / np.linalg.norm(point)).astype(np.float32), (n, 1)))
    found = rank_scores(cosines(points, points), np.eye(n, dtype=bool))
    assert found["r_at_1"] == pytest.approx(np.full(n, 1 / n), abs=1e-15)
    assert found["r_at_10"] == pytest.approx(np.full(n, 10 / n), abs=1e-12)
    assert found["mrr"] == pytest.approx(np.full(n, np.mean(1 / np.arange(1, n + 1))), abs=1e-12)


def test_noise_of_32_bits_breaks_no_tie() -> None:
    n, point = 200, np.ones(64) / 8
    noisy = (point + STREAM.normal(size=(n, 64)) * 1e-9).astype(np.float32)
    assert rank_scores(cosines(noisy, noisy), np.eye(n, dtype=bool))["r_at_1"] == pytest.approx(np.full(n, 1 / n))


def test_what_is_barred_is_no_answer() -> None:
    scores = STREAM.normal(size=(60, 60)).round(1)
    product, seller = np.arange(60) // 3, np.arange(60) % 3  # three listings of each product, by three sellers
    relevant, barred = product[:, None] == product, seller[:, None] == seller
    behind = rank_scores(np.where(barred, -np.inf, scores), relevant & ~barred)
    for name, values in rank_scores(scores, relevant, barred).items():
        assert values == pytest.approx(behind[name], abs=1e-12)


def test_queries_with_nothing_to_find_have_no_measure() -> None:
    relevant = np.array([[True, False], [False, False], [False, True]])
    found = rank_scores(np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.4]]), relevant, ks=(1, 2))
    assert found["mrr"] == pytest.approx([1, np.nan, 0.5], nan_ok=True)
    weights = np.array([[1.0, 1, 1], [0, 5, 2], [0, 1, 0]])
    assert mean(found["mrr"], weights) == pytest.approx([0.75, 0.5, np.nan], nan_ok=True)
    assert rank_scores(np.zeros((0, 3)), np.zeros((0, 3), bool))["r_at_1"].shape == (0,)
    assert np.isnan(rank_scores(np.zeros((2, 0)), np.zeros((2, 0), bool))["mrr"]).all()
