"""Resamples by whole groups, intervals against theory."""

import numpy as np
import pytest

from workbench.evaluate import intervals
from workbench.evaluate.intervals import Estimate, estimate, mean, ratio, resamples, weights_of


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


def test_what_is_undefined_has_no_interval() -> None:
    assert estimate(np.array([np.nan, 0.3, 0.4])).json() is None
    assert estimate(np.array([0.5])).json() == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert estimate(np.array([0.5, np.nan])).json() == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert np.isnan(mean(np.zeros(0), np.ones((2, 0)))).all()
    assert mean(np.array([np.nan, 1, 3]), np.array([[1.0, 1, 1], [5, 0, 0]])) == pytest.approx([2, np.nan], nan_ok=True)


def test_weights_bear_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_of([]).shape == (1, 0)
    assert weights_of(["a", "b"]).shape == (2001, 2)
    monkeypatch.setattr(intervals, "MOST_WEIGHTS", 30_000)
    assert weights_of(np.arange(100)).shape == (301, 100)
    assert weights_of(np.arange(1000)).shape == (201, 1000)
