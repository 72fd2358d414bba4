"""Two kinds: measures against scikit-learn and slow twins, thresholds by hand."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from workbench.evaluate import intervals
from workbench.evaluate.binary import (
    average_precision,
    precision_recall,
    recall_at,
    roc_auc,
    threshold_for,
    undefined,
)
from workbench.evaluate.calibration import brier, calibration_error
from workbench.evaluate.intervals import resamples

STREAM = np.random.default_rng(0)
N = 300
POSITIVE = STREAM.random(N) < 0.35
SCORES = STREAM.normal(size=N) + POSITIVE
ONE = np.ones((1, N))
# Scores with more and more ties.
SEEN = (
    np.asarray,
    np.round,
    lambda s: np.round(s, 1),
    np.sign,
    lambda s: np.full(len(s), 0.25),
)
WEIGHTS = np.vstack([ONE, resamples(np.arange(N) // 3, 20)[1:], STREAM.random((5, N))])


@pytest.mark.parametrize("see", SEEN)
def test_measures_equal_scikit_learn_ties_and_weights_included(see: Callable) -> None:
    scores = see(SCORES)
    for ours, theirs in ((average_precision, average_precision_score), (roc_auc, roc_auc_score)):
        expected = [theirs(POSITIVE, scores, sample_weight=w) for w in WEIGHTS]
        assert ours(POSITIVE, scores, WEIGHTS) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-2, 2), st.integers(0, 3)), min_size=1, max_size=12))
def test_measures_equal_their_slow_twins(items: list[tuple[bool, int, int]]) -> None:
    positive, scores, weights = (np.array(column) for column in zip(*items, strict=True))
    measured = [m(positive, scores, weights[None] * 1.0)[0] for m in (roc_auc, average_precision)]
    of = [(p, s, w) for p, s, w in items if w]
    pairs = [(a, b, v * w) for p, a, v in of for q, b, w in of if p and not q]
    won = sum(w * ((a > b) + (a == b) / 2) for a, b, w in pairs)
    assert measured[0] == pytest.approx(won / sum(w for *_, w in pairs) if pairs else np.nan, nan_ok=True)
    expected, found, drawn = 0.0, 0, 0
    for threshold in sorted({s for _, s, _ in of}, reverse=True):
        here = [(p, w) for p, s, w in of if s == threshold]
        hits = sum(w for p, w in here if p)
        found, drawn = found + hits, drawn + sum(w for _, w in here)
        expected += found / drawn * hits
    assert measured[1] == pytest.approx(expected / found if found else np.nan, nan_ok=True)


@pytest.mark.parametrize("precision", [0.3, 0.5, 0.6, 0.75, 0.9, 1.0])
def test_recall_at_precision_is_the_most_of_scikit_learns_curve(precision: float) -> None:
    for see in SEEN:
        for w in WEIGHTS[::8]:
            reached, recall, _ = precision_recall_curve(POSITIVE, see(SCORES), sample_weight=w)
            expected = recall[:-1][reached[:-1] >= precision - 1e-12].max(initial=0)  # without its last point (1, 0)
            assert recall_at(precision, POSITIVE, see(SCORES), w[None]) == pytest.approx([expected], abs=1e-12)


def test_what_is_undefined_is_said_with_its_reason() -> None:
    assert undefined(np.array([True, False])) == {}
    assert undefined(np.zeros(3, bool), "pairs", "a match")["pr_auc"] == (
        "undefined, because none of the 3 pairs is a match"
    )
    assert undefined(np.ones(2, bool)) == {"roc_auc": "undefined, because all 2 items are positive"}
    assert set(undefined(np.zeros(0, bool)).values()) == {"undefined, because there are no items"}
    for positive in (np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)):
        scores, one = np.arange(len(positive)) * 1.0, np.ones((2, len(positive)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = {
                "pr_auc": average_precision(positive, scores, one),
                "roc_auc": roc_auc(positive, scores, one),
                "recall_at_precision": recall_at(0.5, positive, scores, one),
                "brier": brier(positive, scores, one),
                "calibration_error": calibration_error(positive, scores, one),
            }
        assert {name for name, values in found.items() if np.isnan(values).all()} == set(undefined(positive))


def test_resamples_are_looked_at_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = average_precision(POSITIVE, SCORES, WEIGHTS)
    monkeypatch.setattr(intervals, "PART", 2 * N)
    assert np.array_equal(average_precision(POSITIVE, SCORES, WEIGHTS), whole)


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
