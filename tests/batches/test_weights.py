"""Each listing is drawn as often as expected, rounded down or up, in every epoch and over all of them."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.batches.order import Order
from workbench.batches.weights import Frequencies, balanced, frequencies
from workbench.errors import DataError
from workbench.recipe.schema import Balance, Sampling, Weights

class_n = np.repeat([0, 1, 2, 3], [1, 9, 90, 900])


def drawn(often: Frequencies, epochs: int, seed: int = 0) -> np.ndarray:
    """(epochs, n) how often each thing was drawn."""
    n = len(often.things_n)
    things = [often.draw(seed, epoch, np.arange(n))[0] for epoch in range(1, epochs + 1)]
    return np.array([np.bincount(some, minlength=n) for some in things])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_counts_are_what_is_expected_rounded_down_or_up(weights: list[float], classes: int, seed: int) -> None:
    weights_n = np.array(weights)
    if not weights_n.sum():
        weights_n[0] = 1
    counts = drawn(Frequencies.of(weights_n, np.arange(len(weights)) % (classes + 1), seed), 5, seed)
    expected_n = len(weights) * weights_n / weights_n.sum()
    assert (counts.sum(1) == len(weights)).all()
    assert (np.abs(counts - expected_n) < 1 + 1e-6).all()
    assert not counts[:, weights_n == 0].any()


def test_nothing_is_starved_and_what_is_rare_comes_evenly() -> None:
    counts = drawn(balanced(class_n, 1.0, 0), 60)  # a listing of the largest class is expected 250 / 900 times an epoch
    by_class = np.array([counts[:, class_n == k].sum(1) for k in range(4)])
    assert by_class.min() >= 249 and by_class.max() <= 251
    total_n = counts.sum(0)
    assert np.ptp(total_n[class_n == 3]) <= 3 and total_n[class_n == 3].mean() == pytest.approx(
        60 * 250 / 900, rel=0.01
    )
    gaps = [np.diff(np.flatnonzero(counts[:, thing])).max() for thing in np.flatnonzero(class_n == 3)]
    assert max(gaps) <= 8  # epochs, 3.6 on average


@pytest.mark.parametrize(("strength", "expected"), [(0, [1, 9, 90, 900]), (0.5, [22.995, 68.986, 218.154, 689.862])])
def test_strength(strength: float, expected: list[float]) -> None:
    counts = drawn(balanced(class_n, strength, 0), 3)
    by_class = np.array([counts[:, class_n == k].sum(1) for k in range(4)]).T
    assert (np.abs(by_class - expected) < 1.01).all()
    if not strength:
        assert (counts == 1).all()


def test_batches_are_balanced_as_independent_draws_would_be() -> None:
    """Chi-squared of each batch's classes: 3 on average for 3 degrees of freedom, 16.3 in one of a thousand."""
    order = Order(1000, 64, 20, 0, frequencies=balanced(class_n, 1.0, 0))
    batches = [np.bincount(class_n[order.at(step)[1]], minlength=4) for step in range(order.steps) if step % 16 < 15]
    chi = ((np.array(batches) - 16) ** 2 / 16).sum(1)
    assert 2.5 < chi.mean() < 3.5 and np.mean(chi > 16.3) < 0.02


ITEMS = pl.DataFrame(
    {"id": ["a", "b", "c", "d"], "label.kind": ["x", "y", "x", None], "label.sold": ["1.5", "0", None, "7"]}
)


def expected(sampling: Sampling, items: pl.DataFrame = ITEMS) -> list[float]:
    often = frequencies(items, np.arange(len(items)), sampling, 0)
    assert often is not None
    stretch = np.diff(often.ends_n, prepend=0)
    return [round(float(stretch[often.things_n == i][0]), 3) for i in range(len(items))]


def test_labels_to_frequencies() -> None:
    assert frequencies(ITEMS, np.arange(4), Sampling(), 0) is None
    assert expected(Sampling(balance=Balance(label="kind"))) == [0.667, 1.333, 0.667, 1.333]
    assert expected(Sampling(weights=Weights(label="sold", other=1.5))) == [0.6, 0, 0.6, 2.8]
    assert expected(Sampling(weights=Weights(label="kind", classes={"y": 4}, other=2))) == [0.8, 1.6, 0.8, 0.8]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"balance": {"label": "sort"}}, r"balance\.label: no feed has a label 'sort'; the labels are: kind, sold"),
        ({"weights": {"label": "kind"}}, r"weights\.label: listing 'a' has 'x' in 'kind'; expected a number .*classes"),
        ({"weights": {"label": "kind", "classes": {"yy": 1}}}, r"classes: no training listing has 'yy'; .* \['y'\]"),
        ({"weights": {"label": "kind", "classes": {"y": 0}, "other": 0}}, r"every training listing has the weight 0"),
    ],
)
def test_errors_name_the_key_the_listing_and_what_to_do(how: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        frequencies(ITEMS, np.arange(4), Sampling.model_validate(how), 0)


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "many", ""])
def test_a_weight_that_is_none(value: str) -> None:
    items = ITEMS.with_columns(pl.Series("label.sold", ["1", value, "1", "1"]))
    with pytest.raises(DataError, match=f"listing 'b' has '{value}' in 'sold'"):
        frequencies(items, np.arange(4), Sampling(weights=Weights(label="sold")), 0)
