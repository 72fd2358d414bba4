"""All tasks of one recipe: one network for them, and pictures that count as none in each of them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tasks import shop
from workbench.artifacts.store import Artifact
from workbench.batch import Batch
from workbench.batches.weights import balanced
from workbench.errors import RecipeError
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Classify, Finetune, Retrieve
from workbench.tasks.heads import outputs
from workbench.tasks.readings import READINGS
from workbench.tasks.runs import together_of
from workbench.tasks.together.tuning import Mixture, TogetherBatch, TogetherLoss, of_task
from workbench.tasks.tuned import Tuned, load_tuned, read_answers

ARM = {"pretrained": {"epochs": 1, "optim": {"lr": 1e-3, "batch_size": 16}}, "scratch": None}
TASKS = {
    "match": ARM | {"mine": {"negatives": 1}},
    "classify": ARM | {"label": "kind", "balance": 0.5},
    "retrieve": ARM | {"negatives": "mined", "across": "seller"},
    "fill": ARM | {"attributes": ["seller"]},
}
BLANK = [f"L{product}" for product in range(0, shop.PRODUCTS, 6)]  # listings that show the same picture
ROWS = np.arange(2 * shop.PRODUCTS)


# Labels of several tasks in one batch


def test_each_task_draws_its_own_labels_as_it_would_alone() -> None:
    classes = np.array([0] * 9 + [1] * 3)
    mixture = Mixture((12, 8), (balanced(classes, 1.0, seed=0), None))
    places = np.random.default_rng(0).permutation(20)
    things, visits = mixture.draw(0, 1, places)
    own = places < 12
    alone = balanced(classes, 1.0, seed=0).draw(0, 1, places[own])
    assert np.array_equal(things[own], alone[0]) and np.array_equal(visits[own], alone[1])
    assert np.array_equal(things[~own], places[~own]) and not visits[~own].any()


class Counted:
    """A loss of two parts on batches that are lists of numbers."""

    weights: ClassVar = {"sum": 1.0, "square": 0.5}

    def counts(self, batch: list[float]) -> dict[str, int]:
        return {"sum": len(batch), "square": 2 * len(batch)}

    def sums(self, batch: list[float]) -> dict[str, torch.Tensor]:
        return {"sum": torch.tensor(sum(batch)), "square": torch.tensor(sum(x * x for x in batch))}


def test_losses_are_those_of_the_tasks_and_nothing_where_a_batch_has_none_of_one() -> None:
    loss = TogetherLoss(torch.nn.Linear(1, 1), {"a": Counted(), "b": Counted()})  # type: ignore[arg-type]
    batch = TogetherBatch({"b": [2.0, 3.0]})  # type: ignore[dict-item]
    assert loss.weights == {"a.sum": 1, "a.square": 0.5, "b.sum": 1, "b.square": 0.5}
    assert loss.counts(batch) == {"a.sum": 0, "a.square": 0, "b.sum": 2, "b.square": 4} and len(batch) == 2
    assert {name: float(x) for name, x in loss.sums(batch).items()} == {
        "a.sum": 0,
        "a.square": 0,
        "b.sum": 5,
        "b.square": 13,
    }


def test_it_is_tuned_as_the_first_task_with_as_many_labels_a_batch_as_all() -> None:
    classify = Classify(label="x", label_shares=(0.2, 1), seeds=(3, 4), dropout=0.3)
    found = together_of(Finetune(classify=classify, retrieve=Retrieve(), together=True))
    assert found.pretrained.optim.batch_size == 128 and found.pretrained.epochs == 20 and found.dropout == 0.3
    assert found.label_shares == (1.0,) and found.seeds == (3,) and found.scratch is None
    scores = {"classify/test": np.zeros(1), "retrieve/test.text": np.ones(2)}
    assert list(of_task("retrieve", scores)) == ["test.text"]


def test_one_task_alone_is_none_together(tmp_path: Path) -> None:
    shop.build(tmp_path)
    with pytest.raises(RecipeError, match="together: one network for all tasks needs two of them at least"):
        recipe_from_tree(shop.tree(tmp_path / "cache", together=True, match=shop.match()), tmp_path)


# From a feed to one network for all


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two shops that differ in what is seen on the picture that some listings share."""
    folders = tmp_path_factory.mktemp("grey"), tmp_path_factory.mktemp("striped")
    grey = np.full((16, 16, 3), 200, np.uint8)
    striped = grey.copy()
    striped[::5] = (250, 10, 10)
    for folder, pixels in zip(folders, (grey, striped), strict=True):
        shop.build(folder)
        for name in BLANK:
            Image.fromarray(pixels).save(folder / "pictures" / f"{name}.png")
    return folders


@pytest.fixture(scope="module")
def made(folders: tuple[Path, Path]) -> Artifact:
    tasks = TASKS | {"together": True, "baselines": {"plain": False, "trees": False}}
    return shop.make(folders[0], folders[0] / "cache", "together", **tasks)[0]


def test_every_task_is_measured_and_held_against_its_own_network(made: Artifact) -> None:
    results = json.loads(made.path("results.json").read_text())
    assert list(results) == list(TASKS)
    for section in results.values():
        arms = [(arm["arm"], arm["share"]) for arm in section["arms"]]
        assert arms == [("together", 1.0), ("pretrained", 1.0)]
        judge = section["measure"]
        assert all(arm[judge] for arm in section["arms"])
        assert [(d["left"], d["right"]) for d in section["differences"]] == [("pretrained", "together")]
        assert {r["reading"] for r in section["readings"]} == {"text", "picture", "both"}


def test_it_is_kept_with_a_head_for_each(made: Artifact) -> None:
    assert set(load_tuned(made.folder).heads) == set(read_answers(made.folder)) == set(TASKS)
    assert {name for name in made.files if "/" not in name} == {
        *("results.json", "answers.json", "model.json", "model.safetensors", "head.safetensors")
    }


def said(tuned: Tuned, told: Mapping[str, Mapping[str, object]], batch: Batch) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {task: outputs(tuned, task, batch, its) for task, its in told.items()}


def test_what_a_placeholder_shows_never_changes_an_output(folders: tuple[Path, Path], made: Artifact) -> None:
    """Nor the training: both shops give the same batches, and so the same pre-trained network to the bit."""
    tuned, told = load_tuned(made.folder), read_answers(made.folder)
    grey, striped = map(shop.opened, folders)
    blank = grey.items["id"].is_in(BLANK).to_numpy()
    assert (grey.shards.states == "placeholder").to_numpy().tolist() == blank.tolist()
    for lost in READINGS.values():
        batches = [c.listings.batch(ROWS, dropout=lost, any_picture=True) for c in (grey, striped)]
        assert not batches[0].has_image_B[torch.from_numpy(blank)].any()
        first, second = (said(tuned, told, batch) for batch in batches)
        for task, output in first.items():
            assert torch.equal(output, second[task]), task
    weights = [next((folder / "cache").glob("pretrain-*/model.safetensors")).read_bytes() for folder in folders]
    assert weights[0] == weights[1]


def test_pixels_of_a_picture_that_counts_as_none_are_not_read_and_nothing_at_all_is_finite(
    folders: tuple[Path, Path], made: Artifact
) -> None:
    tuned, told = load_tuned(made.folder), read_answers(made.folder)
    batch = shop.opened(folders[0]).listings.batch(ROWS[:8])
    none = torch.zeros(8, dtype=torch.bool)
    blind = replace(batch, has_image_B=none)
    noise = replace(blind, pixels_BCHW=torch.randint(256, batch.pixels_BCHW.shape, dtype=torch.uint8))
    seen, unseen, other = (said(tuned, told, one) for one in (batch, blind, noise))
    for task in TASKS:
        assert torch.equal(unseen[task], other[task]) and not torch.equal(unseen[task], seen[task]), task
        for reading in READINGS:
            assert said(tuned, told, replace(batch.idle(), **_lacks(reading, batch)))[task].isfinite().all()


def _lacks(reading: str, batch: Batch) -> dict[str, torch.Tensor]:
    """Nothing at all; padding only; a picture alone."""
    none = torch.zeros_like(batch.has_image_B)
    return {"both": {}, "text": {"has_text_B": none}, "picture": {"has_image_B": ~none}}[reading]
