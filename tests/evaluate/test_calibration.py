"""Probabilities: measured by hand and by scikit-learn, made right by Platt and by a temperature."""

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from workbench.evaluate.calibrate import Platt, fit_platt, fit_temperature, probabilities
from workbench.evaluate.calibration import brier, calibration_error, reliability

STREAM = np.random.default_rng(0)


def test_brier_equals_scikit_learn() -> None:
    positive, probability, weights = STREAM.random(200) < 0.3, STREAM.random(200), STREAM.random((3, 200))
    expected = [brier_score_loss(positive, probability, sample_weight=w) for w in weights]
    assert brier(positive, probability, weights) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_by_hand() -> None:
    probability = np.repeat([0.9, 0.1, 0.8, 0.2], 5)  # 20 items: two bins
    positive = np.repeat([True, False, False, True], 5)
    one = np.ones((1, 20))
    # (0.1, 0.2) says 0.15 of which 1/2 are, (0.8, 0.9) says 0.85 of which 1/2 are
    assert calibration_error(positive, probability, one) == pytest.approx([0.35])
    # weights: only 0.1 (not) and twice 0.8 (not): 1/3 x 0.1 + 2/3 x 0.8
    assert calibration_error(positive, probability, np.repeat([[0.0, 1, 2, 0]], 5, 1)) == pytest.approx([1.7 / 3])
    assert reliability(positive, probability) == [
        {"items": 10, "probability": pytest.approx(0.15), "share": 0.5},
        {"items": 10, "probability": pytest.approx(0.85), "share": 0.5},
    ]
    # 19 items: one bin
    assert calibration_error(positive[1:], probability[1:], one[:, 1:]) == pytest.approx([abs(9.1 - 9) / 19])


def test_bins_hold_equally_many_and_never_part_a_tie() -> None:
    assert [b["items"] for b in reliability(STREAM.random(150) < 0.5, STREAM.random(150))] == [10] * 15
    assert [b["items"] for b in reliability(STREAM.random(900) < 0.5, STREAM.random(900))] == [60] * 15
    tied = np.array([0.5] * 96 + [0.1, 0.2, 0.9, 0.95])
    assert [b["items"] for b in reliability(tied > 0.3, tied)] == [2, 96, 2]
    constant, positive = np.full(40, 0.25), np.arange(40) % 4 == 0
    assert calibration_error(positive, constant, np.ones((1, 40))) == pytest.approx([0])
    turned, one = STREAM.permutation(100), np.ones((1, 100))
    assert calibration_error(tied > 0.3, tied, one) == calibration_error(tied[turned] > 0.3, tied[turned], one)


def test_platt_finds_the_map_that_made_the_labels() -> None:
    log_odds = STREAM.normal(size=20_000) * 2
    positive = STREAM.random(20_000) < expit(0.5 * log_odds - 1)
    found = fit_platt(log_odds, positive)
    assert (found.scale, found.shift) == pytest.approx((0.5, -1), abs=0.05)
    plain = LogisticRegression(C=np.inf).fit(log_odds[:, None], positive)
    assert (found.scale, found.shift) == pytest.approx((plain.coef_[0, 0], plain.intercept_[0]), abs=2e-3)
    one = np.ones((1, 20_000))
    assert (
        calibration_error(positive, found(log_odds), one)[0] < 0.015 < calibration_error(positive, expit(log_odds), one)
    )


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_platt_in_any_unit(unit: float) -> None:
    scores = np.linspace(0, 1, 400)  # such as cosines
    positive = STREAM.random(400) < expit(20 * scores - 10)
    expected = fit_platt(scores, positive)(scores)
    assert fit_platt(scores * unit, positive)(scores * unit) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("scores", "positive"),
    [
        ([], []),
        ([3.0], [True]),
        ([3.0], [False]),
        ([2.0, 2.0, 2.0], [True, False, True]),
        ([-1.0, 4.0, 900.0], [True, True, True]),
        ([-900.0, 0.0, 1.0], [False, False, False]),
        ([-5.0, 5.0], [False, True]),
        ([-5.0, 5.0], [True, False]),  # the wrong way round: a map that turned the ranking would be no calibration
    ],
)
def test_few_or_one_sided_items_give_a_rising_and_finite_map(scores: list[float], positive: list[bool]) -> None:
    platt = fit_platt(np.array(scores, float), np.array(positive, bool))
    found = platt(np.array([-30.0, -1, 0, 1, 30]))
    assert platt.scale > 0 and np.isfinite(found).all() and (np.diff(found) >= 0).all()
    if not scores:
        assert platt == Platt(1, 0)
    elif len(set(positive)) == 1:
        assert (platt(np.mean(scores)) > 0.5) == positive[0]


def test_temperature_finds_what_made_the_labels() -> None:
    logits = STREAM.normal(size=(5000, 4)) * 2
    cumulated = softmax(logits, 1).cumsum(1)
    truth = (STREAM.random((5000, 1)) > cumulated).sum(1).clip(max=3)
    assert fit_temperature(logits * 3, truth) == pytest.approx(3, rel=0.06)
    several = STREAM.random((5000, 4)) < expit(logits)
    assert fit_temperature(logits * 3, several) == pytest.approx(3, rel=0.06)
    assert np.array_equal(probabilities(logits, 3).argmax(1), logits.argmax(1))


def test_few_items_give_a_finite_temperature() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1
    for truth in (0, 1):
        assert 0.05 < fit_temperature(np.array([[50.0, -50, 0]]), np.array([truth])) < 150
    assert probabilities(np.array([[1e4, -1e4]])) == pytest.approx(np.array([[1, 0]]))
    assert probabilities(logit(np.array([[0.2, 0.9]])), several=True) == pytest.approx(np.array([[0.2, 0.9]]))
