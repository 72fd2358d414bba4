"""Missing attributes: read without their own field, said as classes or words, or not at all."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from tests.tasks import shop
from workbench.batch import Batch
from workbench.batches.fields import Words, asking
from workbench.errors import DataError, RecipeError
from workbench.evaluate.classes import macro_f1
from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Fill, Tokens
from workbench.tasks.catalog import open_catalog
from workbench.tasks.fill.answer import probabilities, table
from workbench.tasks.fill.ask import ask, scores
from workbench.tasks.fill.exam import Exam, Guesses
from workbench.tasks.fill.tuning import Questions
from workbench.tasks.fill.values import MISSING, OTHER, attributes_of
from workbench.tasks.heads import outputs
from workbench.tasks.network import model_section
from workbench.tasks.tuned import Tuned, load_tuned, read_answers
from workbench.text.tokenizer import train

TOLD = {"answer": "classes", "text": {}, "attributes": {
    "brand": {"values": ["Acme", "Bolt"], "marker": 5, "pieces": [], "temperature": 1.0, "threshold": 0.8},
    "colour": {"values": ["blue", "red", "teal"], "marker": None, "pieces": [], "temperature": 2.0, "threshold": None},
}}  # fmt: skip


def test_values_by_case_and_space_and_what_is_too_rare() -> None:
    brands = ["ACME", "Acme", "Acme ", "bolt", "Bolt", "Bolt", "Rare", None, "acme", "Zed"]
    items = pl.DataFrame({"text.brand": brands, "part": ["train"] * 8 + ["test"] * 2})
    tokenizer = train([["acme bolt"]], ["title", "brand"], Tokens(vocabulary=300))
    (found,) = attributes_of(Fill(attributes=("brand",), fewer_than=2), items, tokenizer)
    assert found.values == ("Acme", "Bolt") and found.counts.tolist() == [3, 3]
    assert found.value_N.tolist() == [0, 0, 0, 1, 1, 1, OTHER, MISSING, 0, OTHER]
    assert found.marker == tokenizer.marker("brand")
    (words,) = attributes_of(Fill(attributes=("brand",), answer="words", fewer_than=2), items, tokenizer)
    assert words.values == ("Acme", "Bolt", "Rare")  # words can say a value seen once
    assert [tokenizer.decode(ids) for ids in words.pieces] == ["acme", "bolt", "rare"]
    with pytest.raises(DataError, match="no feed has an attribute 'size'; they have: brand"):
        attributes_of(Fill(attributes=("size",)), items, tokenizer)
    with pytest.raises(DataError, match="'brand' has 0 values of at least 9 training listings"):
        attributes_of(Fill(attributes=("brand",), fewer_than=9), items, tokenizer)


def test_answers_and_not_knowing() -> None:
    logits = np.log(np.array([[0.9, 0.1, 0.25, 0.25, 0.5], [0.6, 0.4, 0.8, 0.1, 0.1]]))
    sure = probabilities(TOLD, logits)
    assert sure["brand"] == pytest.approx(np.array([[0.9, 0.1], [0.6, 0.4]]))
    warm = np.sqrt([0.25, 0.25, 0.5])
    assert sure["colour"][0] == pytest.approx(warm / warm.sum())
    first, second = table(TOLD, logits).rows()
    assert first[:3] == ("Acme", pytest.approx(0.9), None) and second[:3] == (None, pytest.approx(0.6), None)


def test_measures_by_hand() -> None:
    asked = Questions(np.arange(6), np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 1, OTHER, 2, 0]))
    guesses = Guesses(np.array([0, 1, 0, 1, 2, 1]), np.full(6, 0.5), np.array([1, 1, 0, 1, 1, 0], bool))
    exam = Exam(asked, np.array([0, 2, 5]), np.ones((1, 6)))
    marks = exam.marks(guesses, np.arange(6))
    assert marks["accuracy"][0] == pytest.approx(3 / 6)
    assert marks["coverage"][0] == pytest.approx(4 / 6) and marks["precision"][0] == pytest.approx(3 / 4)
    truth, guess = np.array([0, 1, 1, -1, 4, 2]), np.array([0, 1, 0, 1, 4, 3])
    assert marks["macro_f1"][0] == pytest.approx(macro_f1(truth, guess, 5, np.ones((1, 6)))[0])
    never = Guesses(guesses.guess, guesses.sure, np.zeros(6, bool))
    assert np.isnan(exam.marks(never, np.arange(6))["precision"][0])


def build(folder: Path) -> None:
    """The shop; what it is made of is a field, which the kind tells."""
    shop.build(folder)
    made_of = {"mug": "Stone ware", "sock": "wool"}
    with (folder / "feed.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    with (folder / "feed.csv").open("w", newline="") as file:
        rows = [[*line, made_of.get(line[header.index("kind")], "")] for line in lines]
        csv.writer(file).writerows([[*header, "material"], *rows])


def recipe(folder: Path, **fill: object):
    task = {"attributes": ["material"], "pretrained": shop.ARM, "scratch": None, **fill}
    tree = shop.tree(folder / "cache", fill=task, baselines={"trees": False})
    tree["catalog"]["feeds"][0]["columns"]["text"] = {"material": "material"}
    return recipe_from_tree(tree, folder)


def test_from_the_feed_to_the_results(tmp_path: Path) -> None:
    build(tmp_path)
    for answer in ("classes", "words"):
        attributes = ["material", "kind"] if answer == "classes" else ["material"]
        asked = recipe(tmp_path, attributes=attributes, answer=answer)
        made = run_plan(plan_recipe(asked, ["fill"]), asked.runtime, shop.quiet())
        inputs, fill = {name: done.artifact for name, done in made.items()}, made["fill"].artifact
        results = json.loads(fill.path("results.json").read_text())
        arms = [arm["arm"] for arm in results["arms"]]
        assert arms[0] == "pretrained" and {"text baseline", "majority baseline"} <= set(arms)
        assert ("untuned" in arms) == (answer == "words")
        (material, *_) = results["attributes"]
        assert material["values"] == 2 and material["missing"]["train"] + material["listings"]["train"] == 56
        scores_of = pl.read_parquet(fill.path("scores.parquet"))
        right = (scores_of["value"] == scores_of["pretrained 1 seed 0"]).mean()
        assert results["arms"][0]["accuracy"]["mean"] == pytest.approx(right)
        assert_own_field_is_never_read(fill.folder, inputs, asked)


def assert_own_field_is_never_read(model: Path, inputs: dict, asked) -> None:
    """What is said of the material is the same, whatever the listing says it is."""
    tuned, told = load_tuned(model), read_answers(model)["fill"]
    catalog = open_catalog(inputs, model_section(inputs["pretrain"]), asked.runtime)
    rows = np.flatnonzero((catalog.items["text.material"] == "Stone ware").fill_null(False).to_numpy())[:4]
    batch = catalog.listings.batch(rows)
    wool = catalog.listings.tokens.tokenizer.encode_words(["wool"])[0][0]
    stone = catalog.listings.tokens.tokenizer.encode_words(["stone"])[0][0]
    others = batch.tokens_BL.where(batch.tokens_BL != stone, int(wool))
    assert (others != batch.tokens_BL).any()
    with torch.no_grad():
        first = outputs(tuned, "fill", batch, told)
        other = outputs(tuned, "fill", replace(batch, tokens_BL=others, shown_BL=others), told)
    count = len(told["attributes"]["material"]["values"])
    assert torch.equal(first[:, :count], other[:, :count]) and first.isfinite().all()
    assert table(told, first.numpy()).columns[:2] == ["material", "material.confidence"]


def test_likelihoods_of_words_are_those_of_the_language_head_alone() -> None:
    """The fast way, all values of a length at once, against one value at a time."""
    torch.manual_seed(0)
    network = Mlim(Shape(SIZES["tiny"], 40, 4, 12, 16, 8)).eval()
    tuned, words = Tuned(network, {"fill": nn.Identity()}), Words(0, 4, 12, (35, 36))
    tokens = torch.tensor([[1, 35, 7, 8, 36, 9, 2], [1, 35, 7, 2, 0, 0, 0]])
    real, none = tokens != 0, torch.zeros(2, 4, dtype=torch.bool)
    pixels = torch.randint(0, 255, (2, 3, 16, 16), dtype=torch.uint8)
    batch = Batch(torch.arange(2), tokens, tokens, real, real & False, pixels, none, real[:, 0], real[:, 0])
    pieces = [[11, 12], [13], [14, 15]]
    of = {"values": ["ab", "c", "de"], "marker": 36, "pieces": pieces, "temperature": 1.0, "threshold": None}
    told = {"answer": "words", "text": words.tell(), "attributes": {"colour": of}}
    with torch.no_grad():
        found = ask(tuned, batch, told)
        for value, ids in enumerate(pieces):
            asked = asking(batch, torch.tensor([36, 36]), torch.tensor([ids, ids]), words)
            logs = network.masked_token_logits(network.encode(asked)[0], asked).log_softmax(1).view(2, len(ids), -1)
            wanted = torch.stack([logs[:, i, token] for i, token in enumerate(ids)]).mean(0)
            assert torch.allclose(found[:, value], wanted, atol=1e-6)
        assert torch.equal(scores(tuned, batch, torch.zeros(2, dtype=torch.long), told), found)


def test_what_a_recipe_may_not_ask(tmp_path: Path) -> None:
    build(tmp_path)
    with pytest.raises(RecipeError, match=r"fill.attributes.0: no feed has an attribute 'size' in columns.labels or"):
        recipe(tmp_path, attributes=["size"])
    with pytest.raises(RecipeError, match=r"no feed has an attribute 'kind' in columns.text; it has: material"):
        recipe(tmp_path, attributes=["kind"], answer="words")
