"""Suspected labels: cleanlab's own answer, and a label that is wrong on purpose."""

import numpy as np
import pytest
from scipy.special import softmax

from workbench.evaluate.suspects import best_and_worst, suspected_pairs, suspects

STREAM = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("sure", [0.5, 2.0, 6.0])
def test_cleanlab_suspects_the_same(classes: int, sure: float) -> None:
    cleanlab = pytest.importorskip("cleanlab.filter")
    truth = STREAM.integers(classes, size=400)
    given = np.where(STREAM.random(400) < 0.1, STREAM.integers(classes, size=400), truth)
    probabilities = softmax(STREAM.normal(size=(400, classes)) + sure * np.eye(classes)[truth], 1)
    how = {"filter_by": "confident_learning", "return_indices_ranked_by": "self_confidence", "n_jobs": 1}
    expected = cleanlab.find_label_issues(given, probabilities, **how)
    found, better = suspects(given, probabilities)
    assert found.tolist() == expected.tolist()
    assert len(found) and (better != given[found]).all()
    assert not suspects(truth, np.eye(classes)[truth])[0].size


def test_a_class_without_items_is_nobodys() -> None:
    probabilities = np.array([[0.4, 0.1, 0.5], [0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0]])
    found, better = suspects(np.array([0, 0, 1, 1]), probabilities)
    assert found.tolist() == [2] and better.tolist() == [0]
    assert suspects(np.zeros(0, int), np.zeros((0, 3)))[0].size == 0


def test_a_pair_that_is_marked_wrongly() -> None:
    match = np.array([True] * 10 + [False] * 10)
    probability = np.where(match, 0.9, 0.1)
    probability[[3, 15]] = [0.02, 0.97]
    assert suspected_pairs(match, probability).tolist() == [3, 15]


def test_the_most_certain_first() -> None:
    best, worst = best_and_worst(np.array([True, False, True, False]), np.array([0.6, 0.9, 0.8, 0.9]), 2)
    assert best.tolist() == [2, 0] and worst.tolist() == [1, 3]
