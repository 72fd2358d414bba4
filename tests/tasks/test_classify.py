"""Classification: its figures equal scikit-learn's, whatever classes a part lacks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from tests.tasks import shop
from workbench.errors import DataError
from workbench.recipe.schema import Classify
from workbench.tasks.classify.net import ClassTuning
from workbench.tasks.classify.run import ArmGuesses, measure, per_class, read_labels

NAMES = ["ant", "bee", "cat", "dog"]


def test_classes_are_sorted_by_name_and_a_listing_may_have_none() -> None:
    items = pl.DataFrame({"label.kind": ["sock", None, "mug", "sock"], "label.other": ["a"] * 4})
    names, labels = read_labels(items, "kind")
    assert names == ["mug", "sock"] and labels.tolist() == [1, -1, 0, 1]
    with pytest.raises(DataError, match="no feed has a label 'Kind'; the labels are: kind, other"):
        read_labels(items, "Kind")
    with pytest.raises(DataError, match=r"name its column in catalog.feeds.columns.labels"):
        read_labels(items.select(pl.lit("x").alias("id")), "kind")


def test_classes_are_drawn_alike_where_the_recipe_says_so() -> None:
    label_n = np.repeat([0, 1, 2], [4, 16, 80])
    how = Classify(label="kind", balance=1)
    tuning = ClassTuning(how, 3, {"train": np.arange(100)}, {"train": label_n}, np.arange(100).astype(str))
    places = np.flatnonzero(np.arange(100) % 10)  # a share of the labels
    often = tuning.frequencies(places, seed=0)
    assert often is not None
    drawn = [places[often.draw(0, epoch, np.arange(90))[0]] for epoch in (1, 2)]
    assert [np.bincount(label_n[some]).tolist() for some in drawn] == [[30, 30, 30]] * 2
    assert replace(tuning, section=Classify(label="kind")).frequencies(places, seed=0) is None


def test_figures_equal_scikit_learns() -> None:
    stream = np.random.default_rng(0)
    truth, rows = stream.integers(0, 4, 80), np.arange(100, 180)
    logits = stream.normal(size=(80, 4)) + 2 * np.eye(4)[truth]
    guess, other = logits.argmax(1), stream.integers(0, 4, 80)
    arms = [ArmGuesses("pretrained", 0.5, [guess, other]), ArmGuesses("both baseline", 1.0, [other])]
    found = measure(arms, NAMES, np.array([0, 1, 2]), rows, truth, rows.astype(str), logits)
    first, baseline = found["arms"]
    for metric, score in (
        ("accuracy", accuracy_score),
        ("macro_f1", lambda t, g: f1_score(t, g, average="macro")),
    ):
        assert first[metric]["mean"] == pytest.approx(np.mean([score(truth, g) for g in (guess, other)]))
        assert baseline[metric]["mean"] == pytest.approx(score(truth, other))
    (gain,) = found["differences"]
    assert (gain["left"], gain["right"], gain["share"], gain["better"]) == ("pretrained", "both baseline", 0.5, "left")
    assert gain["accuracy"]["mean"] == pytest.approx(first["accuracy"]["mean"] - baseline["accuracy"]["mean"])
    table = np.array([[row[k] for k in ("precision", "recall", "f1", "support")] for row in found["per_class"]])
    assert pytest.approx(np.array(precision_recall_fscore_support(truth, guess))) == table.T
    assert [row["class"] for row in found["per_class"]] == NAMES
    assert found["verdict"][-1] == (
        f"{(truth == 3).sum()} test listings are of classes that no training listing has; they count as errors."
    )
    assert all(example["truth"] == example["guess"] for example in found["best"])
    assert all(example["truth"] != example["guess"] for example in found["worst"])
    assert len(found["worst"]) == min(24, (truth != guess).sum())
    sure = np.exp(logits).max(1) / np.exp(logits).sum(1)
    assert found["best"][0]["probability"] == pytest.approx(sure[truth == guess].max())
    assert found["best"][0]["row"] == 100 + np.flatnonzero(truth == guess)[sure[truth == guess].argmax()]


def test_a_class_never_guessed_or_never_true_scores_zero() -> None:
    table = per_class(NAMES, np.array([0, 0, 1]), np.array([0, 2, 0]))
    assert [(r["class"], r["support"], r["precision"], r["recall"], r["f1"]) for r in table] == [
        ("ant", 2, 0.5, 0.5, 0.5), ("bee", 1, 0.0, 0.0, 0.0), ("cat", 0, 0.0, 0.0, 0.0)
    ]  # fmt: skip


def test_no_test_listing_measures_nothing_and_says_so() -> None:
    none = np.zeros(0, np.int64)
    found = measure([], NAMES, np.array([0, 1]), none, none, none.astype(str), np.zeros((0, 4)))
    assert found["arms"] == [] and "nothing could be measured" in found["verdict"][0]


def test_from_the_feed_to_the_results(tmp_path: Path) -> None:
    shop.build(tmp_path)
    task = {"label": "kind", "pretrained": shop.ARM, "scratch": None}
    made, said = shop.make(tmp_path, tmp_path / "cache", "classify", classify=task)
    results = json.loads(made.path("results.json").read_text())
    assert results["classes"] == 3 and sum(results["listings"].values()) == 2 * shop.PRODUCTS
    assert [arm["arm"] for arm in results["arms"]] == [
        "pretrained", "text baseline", "picture baseline", "both baseline"
    ]  # fmt: skip
    text = results["arms"][1]
    table = pl.read_parquet(made.path("scores.parquet"))
    assert text["accuracy"]["mean"] == pytest.approx((table["class"] == table["text baseline"]).mean())
    assert text["accuracy"]["mean"] > 0.9  # the kind is a word of the title
    assert "pretrained, all labels, seed 0: macro-F1" in said
    assert json.loads(made.path("classes.json").read_text()) == ["lamp", "mug", "sock"]
