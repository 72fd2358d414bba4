"""Measures against scikit-learn, resamples by whole groups, thresholds by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

from workbench.evaluate.binary import average_precision, precision_recall, threshold_for
from workbench.evaluate.classes import f1_by_class, macro_f1
from workbench.evaluate.intervals import Estimate, estimate, mean, ratio, resamples

STREAM = np.random.default_rng(0)
N = 300
POSITIVE = STREAM.random(N) < 0.35
SCORES = STREAM.normal(size=N) + POSITIVE
ONE = np.ones((1, N))


def constant(scores: np.ndarray) -> np.ndarray:
    return np.full(len(scores), 0.25)


@pytest.mark.parametrize("see", [np.asarray, np.round, lambda s: np.round(s, 1), np.sign, constant])
def test_average_precision_equals_scikit_learn_ties_and_weights_included(see: Callable) -> None:
    scores = see(SCORES)
    weights = np.vstack([ONE, resamples(np.arange(N) // 3, 20)[1:], STREAM.random((5, N))])
    found = average_precision(POSITIVE, scores, weights)
    expected = [average_precision_score(POSITIVE, scores, sample_weight=w) for w in weights]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[0] == pytest.approx(average_precision_score(POSITIVE, scores), abs=1e-12)


def test_average_precision_does_not_depend_on_the_order_of_items() -> None:
    scores, turned = np.round(SCORES), STREAM.permutation(N)
    a, b = average_precision(POSITIVE, scores, ONE), average_precision(POSITIVE[turned], scores[turned], ONE)
    assert a == pytest.approx(b, abs=1e-12)


def test_average_precision_by_hand() -> None:
    positive, scores = np.array([False, True, True, False]), np.array([0.9, 0.8, 0.3, 0.3])
    # thresholds 0.9: 0 of 1; 0.8: 1 of 2, half the recall; 0.3: 2 of 4, the other half
    assert average_precision(positive, scores, np.ones((1, 4))) == pytest.approx([0.5 * 0.5 + 0.5 * 0.5])
    assert average_precision(positive, scores, np.array([[0.0, 1, 1, 1]])) == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])


def test_constant_scores_give_the_prevalence_and_no_positive_gives_nan() -> None:
    assert average_precision(POSITIVE, np.zeros(N), ONE) == pytest.approx([POSITIVE.mean()])
    with np.errstate(all="raise"):
        found = average_precision(np.array([True, False]), np.array([0.2, 0.1]), np.array([[1.0, 1], [0, 2], [3, 0]]))
    assert found == pytest.approx([1, np.nan, 1], nan_ok=True)


def test_macro_f1_equals_scikit_learn() -> None:
    truth, guess = STREAM.integers(5, size=N), STREAM.integers(4, size=N)
    guess = np.where(STREAM.random(N) < 0.5, truth, guess)
    weights = np.vstack([ONE, STREAM.random((4, N))])
    found, by_class = macro_f1(truth, guess, 5, weights), f1_by_class(truth, guess, 5, weights)
    for i, w in enumerate(weights):
        assert found[i] == pytest.approx(f1_score(truth, guess, average="macro", sample_weight=w), abs=1e-12)
        assert by_class[i] == pytest.approx(f1_score(truth, guess, average=None, sample_weight=w), abs=1e-12)


def test_a_class_that_neither_occurs_nor_is_guessed_counts_for_nothing() -> None:
    truth, guess = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])  # a class 1 and a class 3 are not there
    assert f1_by_class(truth, guess, 4, np.ones((1, 4)))[0] == pytest.approx([2 / 3, np.nan, 0.8, np.nan], nan_ok=True)
    assert macro_f1(truth, guess, 4, np.ones((1, 4))) == pytest.approx([(2 / 3 + 0.8) / 2])
    never_guessed = macro_f1(np.array([0, 1]), np.array([0, 0]), 2, np.ones((1, 2)))
    assert never_guessed == pytest.approx([(2 / 3 + 0) / 2])


def test_resamples_draw_whole_groups() -> None:
    groups = ["shirt", "mug", "shirt", "cap", "mug", "shirt"]
    weights = resamples(groups, 500)
    assert weights.shape == (501, 6) and (weights[0] == 1).all()
    shirt, mug, cap = weights[:, 0], weights[:, 1], weights[:, 3]
    assert (weights[:, [2, 5]] == shirt[:, None]).all() and (weights[:, 4] == mug).all()
    assert (shirt + mug + cap == 3).all()  # as many groups as there are, drawn with replacement
    assert (weights == weights.round()).all() and weights.min() == 0 and weights.max() == 3
    assert weights[1:, [0, 1, 3]].mean(0) == pytest.approx([1, 1, 1], abs=0.15)
    assert np.array_equal(weights, resamples(np.array(groups), 500))
    assert not np.array_equal(weights, resamples(groups, 500, seed=1))


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.repeat(np.random.default_rng(1).normal(size=400), 5)  # 400 groups of five equal items
    found = estimate(mean(values, resamples(np.repeat(np.arange(400), 5), 4000)))
    error = 1.96 * values[::5].std() / np.sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(error, rel=0.06)
    assert found.low < found.mean < found.high


def test_means_and_ratios_by_hand() -> None:
    weights = np.array([[1.0, 1, 1], [0, 2, 1]])
    assert mean(np.array([1.0, 2, 6]), weights) == pytest.approx([3, 10 / 3])
    assert ratio(np.array([1.0, 2, 6]), np.array([1.0, 4, 1]), weights) == pytest.approx([9 / 6, 10 / 9])


def test_an_estimate_leaves_out_resamples_that_have_no_value() -> None:
    found = estimate(np.array([0.5, *np.linspace(0, 1, 101), np.nan]))
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))


def test_the_sign_of_an_interval() -> None:
    signs = [Estimate(0, low, high).sign for low, high in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0, 0.1), (-0.1, 0))]
    assert signs == [1, -1, 0, 0, 0]


def test_precision_and_recall_by_hand() -> None:
    positive = np.array([True, False, True, True, False, False])
    scores = np.array([0.9, 0.7, 0.7, 0.4, 0.4, 0.1])
    precision, recall, threshold = precision_recall(positive, scores)
    assert threshold.tolist() == [0.9, 0.7, 0.4, 0.1]
    assert precision == pytest.approx([1, 2 / 3, 3 / 5, 3 / 6])
    assert recall == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_precision_and_recall_equal_scikit_learn() -> None:
    scores = np.round(SCORES, 1)
    precision, recall, threshold = precision_recall(POSITIVE, scores)
    expected = precision_recall_curve(POSITIVE, scores)  # from the lowest threshold up, with a last point (1, 0)
    assert precision[::-1] == pytest.approx(expected[0][:-1])
    assert recall[::-1] == pytest.approx(expected[1][:-1])
    assert threshold[::-1] == pytest.approx(expected[2])


@pytest.mark.parametrize(
    ("precision", "threshold"),
    [
        (1.0, 0.9),
        (0.7, 0.9),
        (2 / 3, 0.5),  # reached again at 0.5, after 1/2 at 0.8
        (0.6, 0.5),
        (0.5, 0.1),
    ],
)
def test_the_threshold_is_the_lowest_that_reaches_the_precision(precision: float, threshold: float) -> None:
    positive = np.array([True, False, True, False, False, True])
    scores = np.array([0.9, 0.8, 0.5, 0.2, 0.2, 0.1])
    # from the highest down: 1/1, 1/2, 2/3, 2/5 (two at once), 3/6
    assert threshold_for(precision, positive, scores) == threshold


def test_no_threshold_where_the_precision_is_never_reached() -> None:
    assert threshold_for(0.9, np.array([False, True]), np.array([0.9, 0.8])) is None
    assert threshold_for(0.1, np.array([False, False]), np.array([0.9, 0.8])) is None
