"""Many classes: scikit-learn where it defines the same, by hand elsewhere."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, precision_score, recall_score

from workbench.evaluate.classes import (
    accuracy,
    by_class,
    by_class_of_several,
    macro_f1,
    mean_average_precision,
)

STREAM = np.random.default_rng(0)
N = 300
WEIGHTS = np.vstack([np.ones((1, N)), STREAM.random((4, N))])


def test_macro_f1_equals_scikit_learn() -> None:
    truth, guess = STREAM.integers(5, size=N), STREAM.integers(4, size=N)
    guess = np.where(STREAM.random(N) < 0.5, truth, guess)
    found, each = macro_f1(truth, guess, 5, WEIGHTS), by_class(truth, guess, 5, WEIGHTS).f1
    for i, w in enumerate(WEIGHTS):
        assert found[i] == pytest.approx(f1_score(truth, guess, average="macro", sample_weight=w), abs=1e-12)
        assert each[i] == pytest.approx(f1_score(truth, guess, average=None, sample_weight=w), abs=1e-12)


def test_a_class_that_neither_occurs_nor_is_guessed_counts_for_nothing() -> None:
    truth, guess = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])  # a class 1 and a class 3 are not there
    assert by_class(truth, guess, 4, np.ones((1, 4))).f1[0] == pytest.approx([2 / 3, np.nan, 0.8, np.nan], nan_ok=True)
    assert macro_f1(truth, guess, 4, np.ones((1, 4))) == pytest.approx([(2 / 3 + 0.8) / 2])
    never_guessed = macro_f1(np.array([0, 1]), np.array([0, 0]), 2, np.ones((1, 2)))
    assert never_guessed == pytest.approx([(2 / 3 + 0) / 2])


def test_each_class_equals_scikit_learn() -> None:
    truth = STREAM.integers(6, size=N)
    guess = np.where(STREAM.random(N) < 0.5, truth, STREAM.integers(4, size=N))
    found = by_class(truth, guess, 6, WEIGHTS)
    for i, w in enumerate(WEIGHTS):
        how = {"average": None, "sample_weight": w, "zero_division": 0}
        assert np.nan_to_num(found.precision[i]) == pytest.approx(precision_score(truth, guess, **how), abs=1e-12)
        assert found.recall[i] == pytest.approx(recall_score(truth, guess, **how), abs=1e-12)
        assert accuracy(truth, guess, WEIGHTS)[i] == pytest.approx(accuracy_score(truth, guess, sample_weight=w))
    assert found.micro_f1 == pytest.approx(accuracy(truth, guess, WEIGHTS), abs=1e-12)


def test_a_class_is_missed_where_none_is_guessed() -> None:
    found = by_class(np.array([0, 1, -1]), np.array([0, -1, 1]), 2, np.ones((1, 3)))
    assert found.support.tolist() == [[1, 1]] and found.guessed.tolist() == [[1, 1]] and found.hits.tolist() == [[1, 0]]


def test_several_classes_an_item_equal_scikit_learn() -> None:
    truth = STREAM.random((N, 5)) < np.array([0.5, 0.3, 0.1, 0.02, 0.6])
    scores = STREAM.normal(size=(N, 5)).round(1) + truth
    guess = scores > 0.8
    found, ap = by_class_of_several(truth, guess, WEIGHTS), mean_average_precision(truth, scores, WEIGHTS)
    for i, w in enumerate(WEIGHTS):
        for average, ours in (("micro", found.micro_f1), ("macro", found.macro_f1)):
            assert ours[i] == pytest.approx(f1_score(truth, guess, average=average, sample_weight=w), abs=1e-12)
        assert ap[i] == pytest.approx(average_precision_score(truth, scores, sample_weight=w), abs=1e-12)


def test_a_class_that_no_item_is_in_has_no_average_precision() -> None:
    truth = np.array([[True, False], [False, False]])
    scores = np.array([[0.2, 0.9], [0.1, 0.8]])
    found = mean_average_precision(truth, scores, np.array([[1.0, 1], [0, 1]]))
    assert found == pytest.approx([1, np.nan], nan_ok=True)
