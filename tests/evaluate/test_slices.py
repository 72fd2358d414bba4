"""Slices of the listings, and what a measure is of each."""

import numpy as np
import polars as pl

from workbench.evaluate.intervals import mean
from workbench.evaluate.slices import MOST, of_pairs, sliced, slices_of

ITEMS = pl.DataFrame(
    {
        "part": ["train", "train", "train", "valid", "test", "test", None],
        "language": ["en", "de", "en", "en", "de", None, "en"],
        "label.product": list("abcdefg"),
        "label.shop": ["ours"] * 7,
        "label.aisle": ["tea", "tea", "jam", "jam", "tea", None, "tea"],
        "text.Vendor": ["Twin", "ahmad ", None, "TWIN", "Ahmad", "Lipton", None],
    }
)
STATES = ["present", "absent", "broken", "placeholder", "present", "present", "absent"]


def test_each_listing_has_a_value_of_each_slice() -> None:
    found = slices_of(ITEMS, STATES, np.array([2, 5, 9, 2, 6, 40, 0]))
    assert found.columns == ["category", "picture", "text length", "language", "brand"]
    assert found["category"].to_list() == ["tea", "tea", "jam", "jam", "tea", None, "tea"]
    assert found["picture"].to_list() == STATES
    # thirds of 2, 5 and 9
    assert found["text length"].to_list() == ["short", "medium", "long", "short", "medium", "long", "no text"]
    seen, not_seen = "seen in training", "not seen in training"
    assert found["brand"].to_list() == [seen, seen, None, seen, seen, not_seen, None]


def test_a_plain_catalog_has_few_slices() -> None:
    plain = ITEMS.select("part", language=pl.lit("en"))
    assert slices_of(plain, STATES, np.ones(7)).columns == ["picture", "text length"]
    nobody = plain.with_columns(part=pl.lit(None, pl.String))
    assert set(slices_of(nobody, STATES, np.ones(7))["text length"]) == {"long"}


def test_pairs_are_of_what_both_are() -> None:
    values = pl.DataFrame({"picture": ["present", "absent", "present"], "language": ["en", None, "en"]})
    found = of_pairs(values, np.array([[0, 2], [0, 1], [1, 1]]))
    assert found.rows() == [("present", "en"), ("mixed", None), ("absent", None)]


def test_a_measure_of_each_slice() -> None:
    right = np.array([1.0, 0, 1, 1] * 6)
    values = pl.DataFrame({"by": ["a", "b", "a", None] * 6, "all alike": ["x"] * 24})
    found = sliced(values, "accuracy", lambda chosen: mean(right[chosen], np.ones((3, 24))[:, chosen]))
    assert found == [
        {"by": "by", "value": "a", "items": 12, "accuracy": {"mean": 1.0, "low": 1.0, "high": 1.0}},
        {"by": "by", "value": "b", "items": 6, "accuracy": {"mean": 0.0, "low": 0.0, "high": 0.0}, "few": True},
    ]


def test_an_undefined_slice_says_why() -> None:
    values = pl.DataFrame({"by": ["a", "b"]})
    (a, b) = sliced(values, "pr_auc", lambda chosen: np.where(chosen[0], 0.5, np.nan) * np.ones(2), lambda _: {})
    assert a["pr_auc"] and "undefined" not in a
    assert b["pr_auc"] is None and b["undefined"] == "undefined, because nothing was measured"
    (_, b) = sliced(values, "pr_auc", lambda c: np.full(2, np.nan), lambda _: {"pr_auc": "undefined, because so"})
    assert b["undefined"] == "undefined, because so"


def test_of_many_values_the_largest_are_shown() -> None:
    values = pl.Series("shop", [f"{n:02d}" for n in range(40) for _ in range(40 - n)])
    found = sliced(values.to_frame(), "mrr", lambda chosen: np.array([chosen.sum() * 1.0]))
    assert len(found) == MOST and found[1]["value"] == "00"
    assert found[0]["value"] == "others" and sum(line["items"] for line in found) == len(values)
