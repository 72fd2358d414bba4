"""Classification: classes by name, hierarchies, several, rare ones; figures equal scikit-learn's."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from torch import nn

from tests.tasks import shop
from workbench.artifacts.store import Artifact
from workbench.errors import DataError
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Classify, Rare
from workbench.tasks.catalog import open_catalog
from workbench.tasks.classify.answer import best, probabilities, table
from workbench.tasks.classify.exam import Exam, thresholds_of
from workbench.tasks.classify.labels import read_labels
from workbench.tasks.classify.net import ClassBatch, ClassLoss
from workbench.tasks.classify.target import OTHER, Target, target_of
from workbench.tasks.classify.tuning import ClassTuning
from workbench.tasks.heads import outputs
from workbench.tasks.network import model_section
from workbench.tasks.tuned import load_tuned, read_answers

HOMES = pl.DataFrame(
    [
        ("home", "lamp"), ("home", "mug"), ("home", None), (None, "lamp"), (None, None), ("misc", None),
        ("toys", "lamp"), ("toys", "car"), ("new", "x"),
    ],
    {"department": pl.String, "aisle": pl.String},
    orient="row",
)  # fmt: skip
TRAINED = np.arange(9) < 7


def one(names: list[str | None], trained: list[bool], rare: Rare | None = None) -> Target:
    return target_of(pl.DataFrame({"kind": names}, {"kind": pl.String}), np.array(trained), None, rare or Rare())


def test_a_class_is_a_path_and_a_leaf_under_two_parents_is_two() -> None:
    target = target_of(HOMES, TRAINED, None, Rare())
    assert target.classes == ["home > lamp", "home > mug", "misc", "toys > lamp"]
    held = [target.holds_TK[t].tolist() if t >= 0 else None for t in target.truth_N]
    assert held[0] == [True, False, False, False]
    assert held[2] == [True, True, False, False]  # a department alone: any of its aisles
    assert held[3] == [True, False, False, True]  # an aisle alone: in any department
    assert held[4] is None
    assert held[7:] == [[False] * 4] * 2  # classes of no training listing
    assert target.learnable_N.tolist() == [True] * 4 + [False] + [True] * 2 + [False] * 2


@pytest.mark.parametrize(
    "then, classes, labelled",
    [
        ("keep", ["a", "b", "c"], [0, 0, 0, 1, 2, None, -1, -1]),
        ("group", ["a", OTHER], [0, 0, 0, 1, 1, None, 1, 1]),
        ("leave out", ["a"], [0, 0, 0, None, None, None, None, None]),
    ],
)
def test_rare_classes(then: str, classes: list[str], labelled: list[int | None]) -> None:
    names = ["a", "a", "a", "b", "c", None, "d", "d"]  # d is in the test part alone
    target = one(names, [True] * 5 + [False] * 3, Rare(fewer_than=2, then=then))
    assert target.classes == classes
    found = [(t < 0, [target.paths[k] for k in np.flatnonzero(target.holds_TK[t])]) for t in target.truth_N]
    assert [None if none else classes.index(held[0][0]) if held else -1 for none, held in found] == labelled
    assert target.rare == (("b",), ("c",), ("d",))
    assert np.flatnonzero(target.rare_N).tolist() == [3, 4, 6, 7]


def test_a_rare_class_is_grouped_below_its_parent_or_leaves_the_parent_known() -> None:
    group = target_of(HOMES[:8], TRAINED[:8], None, Rare(fewer_than=2, then="group"))
    assert group.classes == [f"home > {OTHER}", OTHER, f"toys > {OTHER}"]
    left = target_of(HOMES[:8], TRAINED[:8], None, Rare(fewer_than=2, then="leave out"))
    assert left.classes == ["home", "toys"] and left.holds_TK[left.truth_N[0]].tolist() == [True, False]


def test_several_classes_in_a_cell() -> None:
    cells = pl.DataFrame({"tags": ["red| warm ", "warm|wool|", "|", None, "red|red", "blue|red"]})
    target = target_of(cells, np.arange(6) < 4, "|", Rare())
    assert target.classes == ["red", "warm", "wool"]
    assert [target.holds_TK[t].tolist() if t >= 0 else None for t in target.truth_N] == [
        [True, True, False], [False, True, True], None, None, [True, False, False], [True, False, False],
    ]  # fmt: skip
    exam = Exam(target, target.truth_N[[0, 5]], np.array(["0", "1"]))
    assert exam.names == ["red", "warm", "wool", "blue"]
    assert exam.truth_nC.tolist() == [[True, True, False, False], [True, False, False, True]]
    assert exam.unseen_n.tolist() == [False, True]
    assert Exam(target, target.truth_N[[0]], np.array(["0"])).unseen_n.tolist() == [False]  # blue is in another part


def test_classes_do_not_depend_on_the_order_of_the_feed() -> None:
    forward, back = target_of(HOMES, TRAINED, None, Rare()), target_of(HOMES[::-1], TRAINED[::-1], None, Rare())
    assert forward.classes == back.classes
    assert (forward.holds_TK[forward.truth_N] == back.holds_TK[back.truth_N][::-1]).all()


def test_labels_of_a_file_are_joined_by_id_and_none_is_lost_silently(tmp_path: Path) -> None:
    items = pl.DataFrame({"id": ["1", "2", "3"], "row": [0, 1, 2]}, schema_overrides={"row": pl.UInt32})
    path = tmp_path / "labels.csv"
    path.write_text("id,kind\n1,a\n2, \n1,a\n1,b\nx,b\n,c\n3,b  b\n")
    labels = read_labels(Classify(label="kind", labels=path), items)
    assert labels.cells["kind"].to_list() == ["a", None, "b b"]
    assert labels.dropped.rows() == [
        (3, "2", "no label"), (4, "1", "duplicate"), (5, "1", "contradicts an earlier line"),
        (6, "x", "unknown id"), (7, None, "no id"),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"labels.csv, line 1: no column 'aisle'; expected id, aisle, found id, kind"):
        read_labels(Classify(label="aisle", labels=path), items)
    with pytest.raises(DataError, match=r"finetune.classify.labels: .*none.csv: no such file"):
        read_labels(Classify(label="kind", labels=tmp_path / "none.csv"), items)


def test_a_label_that_no_feed_has() -> None:
    items = pl.DataFrame({"label.kind": ["a"], "label.other": ["b"]})
    assert read_labels(Classify(label=("other", "kind")), items).cells.row(0) == ("b", "a")
    with pytest.raises(DataError, match="no feed has a label 'Kind'; the labels are: kind, other"):
        read_labels(Classify(label="Kind"), items)
    with pytest.raises(DataError, match=r"name its column in catalog.feeds.columns.labels"):
        read_labels(Classify(label="kind"), items.select(pl.lit("x").alias("id")))


def test_a_prediction_is_consistent_at_every_level() -> None:
    paths = [("a", "x"), ("a", "y"), ("b", "x"), ("c",)]
    sure = np.array([[0.30, 0.28, 0.40, 0.02], [0.1, 0.1, 0.1, 0.7]])
    class_n, step_nL = best(paths, sure)
    assert class_n.tolist() == [0, 3]  # a is likelier than b, though b > x is the likeliest leaf
    assert step_nL == pytest.approx(np.array([[0.58, 0.30], [0.7, 0.7]]))


def test_answers_in_words() -> None:
    told = {"levels": ["department", "aisle"], "several": None, "classes": ["a > x", "a > y", "b"], "thresholds": None}
    told |= {"paths": [["a", "x"], ["a", "y"], ["b"]], "temperature": 2.0}
    logits = 2 * np.log(np.array([[0.5, 0.2, 0.3], [0.2, 0.2, 0.6]]))
    assert probabilities(told, logits) == pytest.approx(np.array([[0.5, 0.2, 0.3], [0.2, 0.2, 0.6]]))
    first, second = table(told, logits).rows()
    assert first == ("a", pytest.approx(0.7), "x", pytest.approx(0.5))
    assert second == ("b", pytest.approx(0.6), None, None)
    tags = {"levels": ["tags"], "several": "|", "classes": ["a", "b"], "paths": [["a"], ["b"]], "temperature": 1.0}
    found = table(tags | {"thresholds": [0.5, 0.2]}, np.array([[0.0, 1.0], [-3.0, -3.0]]))
    assert found.rows() == [("a|b", "0.5000|0.7311"), (None, None)]


class Said(nn.Module):
    """What a network would: logits, whatever the batch."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits, self.heads = logits, nn.ModuleDict({"classify": nn.Identity()})

    def pooled(self, batch: object) -> torch.Tensor:
        return self.logits


def test_the_loss_of_a_class_of_a_part_of_a_path_and_of_several() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    model, label = Said(logits), torch.tensor([0, 3, 2, 2, 1])
    exact = ClassLoss(model, False).sums(ClassBatch(None, F.one_hot(label, 4).bool()))["class"]
    assert exact.item() == pytest.approx(F.cross_entropy(logits, label, reduction="sum").item())
    either = torch.tensor([[True, True, False, False]]).expand(5, 4)
    found = ClassLoss(model, False).sums(ClassBatch(None, either))["class"]
    assert found.item() == pytest.approx(-logits.softmax(1)[:, :2].sum(1).log().sum().item())
    several = ClassLoss(model, True).sums(ClassBatch(None, either))["class"]
    wanted = F.binary_cross_entropy(logits.sigmoid(), either.float(), reduction="sum")
    assert several.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_classes_are_drawn_alike_where_the_recipe_says_so() -> None:
    names = np.repeat(["a", "b", "c"], [4, 16, 80])
    how, target = Classify(label="kind", balance=1), one(names.tolist(), [True] * 100)
    tuning = ClassTuning(how, target, {"train": np.arange(100)}, np.arange(100).astype(str), pieces=9)
    places = np.flatnonzero(np.arange(100) % 10)  # a share of the labels
    often = tuning.frequencies(places, seed=0)
    assert often is not None
    drawn = [places[often.draw(0, epoch, np.arange(90))[0]] for epoch in (1, 2)]
    assert [np.unique(names[some], return_counts=True)[1].tolist() for some in drawn] == [[30, 30, 30]] * 2
    assert replace(tuning, section=Classify(label="kind")).frequencies(places, seed=0) is None
    tags = pl.DataFrame({"kind": ["a|c"] * 4 + ["c"] * 96})  # drawn as their rarest class
    tuning = replace(tuning, target=target_of(tags, np.ones(100, bool), "|", Rare()))
    often = tuning.frequencies(np.arange(100), seed=0)
    assert (often.draw(0, 1, np.arange(100))[0] < 4).sum() == 50


def test_figures_equal_scikit_learns() -> None:
    stream = np.random.default_rng(0)
    truth = stream.integers(0, 4, 80)
    names = np.array(["ant", "bee", "cat", "dog"])
    target = one([*names[:3], *names[truth]], [True] * 3 + [False] * 80)  # no training listing is a dog
    exam = Exam(target, target.truth_N[3:], np.arange(80).astype(str))
    sure = stream.dirichlet(np.ones(3), 80)
    guess = sure.argmax(1)
    marks = exam.marks(sure, [])
    assert marks["accuracy"][0] == pytest.approx(accuracy_score(truth, guess))
    assert marks["macro_f1"][0] == pytest.approx(f1_score(truth, guess, average="macro"))
    found = np.array([[line[k] for k in ("precision", "recall", "f1", "support")] for line in exam.per_class(sure, [])])
    wanted = np.array(precision_recall_fscore_support(truth, guess, zero_division=0))
    assert pytest.approx(wanted) == found.T
    assert exam.unseen_n.sum() == (truth == 3).sum() and not exam.judged(sure)[2][truth == 3].any()


def test_figures_of_several_equal_scikit_learns_and_thresholds_make_f1_best() -> None:
    stream = np.random.default_rng(1)
    held = stream.random((60, 3)) < 0.4
    held[:, 2] = np.arange(60) < 2  # too few to choose a threshold
    cells = pl.DataFrame({"tags": ["|".join(np.array(list("abc"))[row]) or None for row in held]})
    target = target_of(cells, np.ones(60, bool), "|", Rare())
    rows = np.flatnonzero(target.truth_N >= 0)
    exam, held = Exam(target, target.truth_N[rows], rows.astype(str)), held[rows]
    sure = np.clip(0.3 * held + stream.random(held.shape) * 0.7, 0, 1)
    thresholds = thresholds_of(exam, sure)
    assert thresholds[2] == 0.5
    f1 = [f1_score(held[:, 0], sure[:, 0] >= cut) for cut in sure[:, 0]]
    assert f1_score(held[:, 0], sure[:, 0] >= thresholds[0]) == pytest.approx(max(f1))
    marks, guess = exam.marks(sure, thresholds), sure >= thresholds
    for name, wanted in (
        ("accuracy", accuracy_score(held, guess)),
        ("macro_f1", f1_score(held, guess, average="macro")),
        ("micro_f1", f1_score(held, guess, average="micro")),
    ):
        assert marks[name][0] == pytest.approx(wanted)


def test_levels_are_measured_where_they_are_told() -> None:
    target = target_of(HOMES, TRAINED, None, Rare())
    exam = Exam(target, target.truth_N[[0, 2, 8]], np.array(["0", "1", "2"]))
    sure = np.eye(4)[[1, 0, 0]]  # home > mug, home > lamp, home > lamp
    marks = exam.marks(sure, [])
    assert marks["department.accuracy"][0] == pytest.approx(2 / 3)  # "new" is a department that none can say
    assert marks["accuracy"][0] == 0  # of two: the second tells no aisle
    assert exam.judged(sure)[2].tolist() == [False, True, False]


def build(folder: Path, turned: bool = False) -> None:
    """The shop, with classes of one product and of one listing, odd texts, and a feed in another order."""
    folder.mkdir()
    shop.build(folder)
    with (folder / "feed.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    place = {name: i for i, name in enumerate(header)}
    for product, kind in ((0, "single"), (1, "pair"), (2, "pair")):
        for line in lines:
            if line[place["group"]] == str(product) and (kind == "pair" or line[0].startswith("L")):
                line[place["kind"]] = kind
    for line, title in zip(lines[20:], ("\u200b.", "🧦" * 40, "NULL", "\x00\ufffd", "a " * 500), strict=False):
        line[place["title"]] = title
    with (folder / "feed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *(lines[::-1] if turned else lines)])


def made(folder: Path, **task: object) -> dict[str, Artifact]:
    finetune = {"classify": {"pretrained": shop.ARM, "scratch": None, **task}, "baselines": {"trees": False}}
    recipe = recipe_from_tree(shop.tree(folder / "cache", **finetune), folder)
    run = run_plan(plan_recipe(recipe, ["classify"]), recipe.runtime, shop.Console(quiet=True))
    return {name: done.artifact for name, done in run.items()}


def said(model: Path, inputs: dict[str, Artifact], folder: Path) -> pl.DataFrame:
    """What a saved model says of a catalog, by id."""
    recipe = recipe_from_tree(shop.tree(folder / "cache"), folder)
    catalog = open_catalog(inputs, model_section(inputs["pretrain"]), recipe.runtime)
    tuned, told = load_tuned(model), read_answers(model)["classify"]
    batches = catalog.listings.batches(np.arange(len(catalog.items)), 16)
    with torch.no_grad():
        logits = [outputs(tuned, "classify", batch, told) for batch in batches]
    sure = probabilities(told, torch.cat(logits).numpy())
    assert np.isfinite(sure).all()
    return pl.DataFrame({"id": catalog.items["id"], "sure": sure}).sort("id")


def test_from_the_feed_to_the_results_whatever_its_order(tmp_path: Path) -> None:
    build(tmp_path / "forward")
    build(tmp_path / "turned", turned=True)
    forward, turned = made(tmp_path / "forward", label="kind"), made(tmp_path / "turned", label="kind")
    answers = [json.loads(run["classify"].path("answers.json").read_text())["classify"] for run in (forward, turned)]
    assert answers[0]["classes"] == answers[1]["classes"] and answers[0]["classes"] == sorted(answers[0]["classes"])
    assert {"lamp", "mug", "sock"} <= set(answers[0]["classes"])

    results = json.loads(forward["classify"].path("results.json").read_text())
    held = {"single", "pair"} - set(answers[0]["classes"])
    assert results["rare"]["names"] == sorted(held)  # classes that no training listing has
    names = [arm["arm"] for arm in results["arms"]]
    assert names[0] == "pretrained" and {"text baseline", "picture baseline", "both baseline"} <= set(names)
    scores = pl.read_parquet(forward["classify"].path("scores.parquet"))
    of_text = next(arm for arm in results["arms"] if arm["arm"] == "text baseline")
    assert of_text["accuracy"]["mean"] == pytest.approx((scores["class"] == scores["text baseline 1 seed 0"]).mean())
    assert [line["reading"] for line in results["readings"][:3]] == ["both", "text", "picture"]

    model = forward["classify"].folder
    ours, theirs = (said(model, run, tmp_path / name) for name, run in (("forward", forward), ("turned", turned)))
    # the words of the second catalog's tokenizer are the same: it was trained on the same texts
    assert ours["id"].equals(theirs["id"])
    assert ours["sure"].to_numpy() == pytest.approx(theirs["sure"].to_numpy(), abs=1e-5)


@pytest.mark.parametrize("how", [{"label": "kind", "several": "|", "balance": 0.5}, {"label": ["kind", "seller"]}])
def test_words_and_looks_say_several_classes_and_hierarchies_too(tmp_path: Path, how: dict[str, object]) -> None:
    build(tmp_path / "shop")
    run = made(tmp_path / "shop", **how)
    plain = load_tuned(run["classify"].folder).heads["classify"].plain
    assert plain.weights[1:].isfinite().all() and (plain.weights[1:, 0] > 0).all() and plain.words.any()
    assert said(run["classify"].folder, run, tmp_path / "shop")["sure"].to_numpy().max() > 0.5
