"""What others train on: to the bit what pre-training reads, in either form."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from datasets import load_from_disk
from rich.console import Console
from typer.testing import CliRunner

from tests.tasks import shop
from workbench.artifacts.store import Artifact
from workbench.batch import Batch
from workbench.batches.loader import Listings
from workbench.batches.order import Order
from workbench.batches.weights import frequencies
from workbench.cli import app
from workbench.errors import DataError
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Recipe
from workbench.tasks import samples as module
from workbench.tasks.catalog import Catalog, open_catalog
from workbench.tasks.samples import NO_LABEL
from workbench.tasks.samples_write import export_samples, left_out

DOCS = Path(__file__).parents[2] / "docs" / "samples.md"
MASKING = {"policy": "mam", "text_units": "word", "shown": "80/10/10", "image_units": "block"}
SAMPLING = {"balance": {"label": "kind"}, "buckets": 2, "last": "drop"}
Artifacts = Mapping[str, Artifact]


def write(folder: Path, recipe: Recipe, artifacts: Artifacts, form: str, epochs: int = 1) -> str:
    return export_samples(artifacts, recipe.model, recipe.pretrain, recipe.runtime, epochs, folder, form)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with two listings more: one's picture is not there, one's is cut off."""
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    (folder / "pictures" / "cut.png").write_bytes((folder / "pictures" / "L0.png").read_bytes()[:40])
    with (folder / "feed.csv").open("a", newline="") as file:
        csv.writer(file).writerows([[f"X{i}", f"X{i}", f"plain {i}", "mug", f"{i}.png", "L"] for i in ("gone", "cut")])
    return folder


def load(folder: Path, sets: tuple[str, ...] = (), **pretrain: Any) -> tuple[Recipe, Artifacts]:
    tree = shop.tree(folder / "cache")
    tree["pretrain"] |= {"seed": 3, **pretrain}
    tree["images"]["shard_pictures"] = 32
    recipe = recipe_from_tree(tree, folder, sets)
    made = run_plan(plan_recipe(recipe, ["split", "tokens"]), recipe.runtime, Console(file=io.StringIO()))
    return recipe, {name: m.artifact for name, m in made.items()}


@pytest.fixture(scope="module")
def plain(shop_folder: Path) -> tuple[Recipe, Artifacts]:
    return load(shop_folder)


def steps(catalog: Catalog, recipe: Recipe, epochs: int) -> Iterator[tuple[int, Batch]]:
    """Epoch and batch of every step of pre-training, made as tasks/pretrain.py makes them."""
    pretrain, train = recipe.pretrain, catalog.pictured("train")
    order = Order(
        count=len(train),
        batch_size=pretrain.optim.batch_size,
        epochs=epochs,
        seed=pretrain.seed,
        sampling=pretrain.sampling,
        lengths=catalog.listings.tokens.lengths[train],
        frequencies=frequencies(catalog.items, train, pretrain.sampling, pretrain.seed),
    )
    changes = {"masking": pretrain.masking, "augment": pretrain.augment, "any_picture": True}
    for step in range(order.steps):
        epoch, drawn = order.at(step)
        yield epoch, catalog.listings.batch(train[drawn], epoch=order.clock(step), seed=pretrain.seed, **changes)


def assert_same(line: Mapping[str, Any], batch: Batch, i: int) -> None:
    """A sample is the i-th listing of a batch."""
    length = batch.tokens_BL.shape[1]
    ids, labels, real = (torch.tensor(line[name]) for name in ("input_ids", "labels", "attention_mask"))
    assert line["row"] == batch.rows_B[i]
    assert torch.equal(ids[:length], batch.shown_BL[i])
    assert torch.equal(real[:length].bool(), batch.text_real_BL[i])
    assert torch.equal(labels[:length] != NO_LABEL, batch.text_masked_BL[i])
    assert torch.equal(torch.where(labels == NO_LABEL, ids, labels)[:length], batch.tokens_BL[i])
    assert not ids[length:].any() and not real[length:].any() and (labels[length:] == NO_LABEL).all()
    assert len(ids) == len(labels) == len(real) == 12
    assert torch.equal(torch.tensor(line["bool_masked_pos"]), batch.image_masked_BP[i])
    assert (np.asarray(line["image"]).transpose(2, 0, 1) == batch.pixels_BCHW[i].numpy()).all()


@pytest.mark.parametrize("pretrain", [{}, {"masking": MASKING, "sampling": SAMPLING}], ids=["plain", "every policy"])
def test_samples_are_to_the_bit_the_steps_of_pretraining(
    shop_folder: Path, tmp_path: Path, pretrain: dict[str, Any]
) -> None:
    recipe, artifacts = load(shop_folder, **pretrain)
    write(tmp_path / "out", recipe, artifacts, "datasets", epochs=2)
    read = load_from_disk(str(tmp_path / "out"))
    catalog = open_catalog(artifacts, recipe.model, recipe.runtime)
    lines = iter(read["train"])
    for epoch, batch in steps(catalog, recipe, 2):
        for i in range(len(batch)):
            line = next(lines)
            assert (line["part"], line["epoch"]) == ("train", epoch)
            assert line["id"] == catalog.items["id"][line["row"]]
            assert_same(line, batch, i)
    assert next(lines, None) is None

    for part in ("valid", "test"):
        fixed = {"epoch": 0, "seed": 3, "masking": recipe.pretrain.masking}
        batch = catalog.listings.batch(catalog.pictured(part), **fixed)
        assert len(batch) == len(read[part]) > 0
        for i, line in enumerate(read[part]):
            assert (line["part"], line["epoch"]) == (part, 0)
            assert_same(line, batch, i)


def test_the_mode_is_told(plain: tuple[Recipe, Artifacts], tmp_path: Path) -> None:
    write(tmp_path / "out", *plain, "datasets", epochs=5)
    hidden = {mode: np.zeros(3) for mode in ("heavy image", "heavy text", "light")}
    for line in load_from_disk(str(tmp_path / "out"))["train"].remove_columns("image"):
        words = sum(label != NO_LABEL for label in line["labels"])
        hidden[line["mode"]] += [1, words, sum(line["bool_masked_pos"])]
    assert all(counts[0] > 50 for counts in hidden.values())
    assert hidden["heavy image"][1] == hidden["heavy text"][2] == 0
    assert 0.7 < hidden["heavy image"][2] / hidden["heavy image"][0] / 4 < 0.9  # of 2 x 2 patches


def test_both_forms_agree_and_equal_recipes_give_equal_bytes(plain: tuple[Recipe, Artifacts], tmp_path: Path) -> None:
    recipe, artifacts = plain
    for form in ("datasets", "webdataset"):
        said = write(tmp_path / form, *plain, form, epochs=2)
        assert said.endswith(f"written: {tmp_path / form}")
        threads = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"threads": 3})})
        write(tmp_path / f"{form} again", threads, artifacts, form, epochs=2)
        assert contents(tmp_path / form) == contents(tmp_path / f"{form} again")
    told = [(tmp_path / form / "samples.json").read_bytes() for form in ("datasets", "webdataset")]
    assert told[0] == told[1]
    for part, lines in load_from_disk(str(tmp_path / "datasets")).items():
        tars = sorted(map(str, (tmp_path / "webdataset").glob(f"{part}-*.tar")))
        assert len(tars) == -(-len(lines) // 32) and len(tars) > 1 - (part != "train")
        samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
        assert len(samples) == len(lines) == json.loads(told[0])["samples"][part]
        for number, (sample, line) in enumerate(zip(samples, lines, strict=True)):
            assert sample["__key__"] == f"{number:010}"
            assert (sample["png"] == np.asarray(line.pop("image"))).all()
            assert sample["json"] == line


def test_every_listing_is_written_or_left_out_with_a_reason(plain: tuple[Recipe, Artifacts], tmp_path: Path) -> None:
    said = write(tmp_path / "out", *plain, "webdataset")
    told = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert told["left_out"] == {"picture absent": 1, "picture broken": 1}
    assert told["written"] == 120 == told["listings"] - 2 == sum(told["samples"].values())
    assert said.splitlines()[0] == "120 of 122 listings, left out: picture absent 1, picture broken 1"
    assert said.splitlines()[1] == "samples: " + ", ".join(f"{n} {part}" for part, n in told["samples"].items())
    tokens = plain[1]["tokens"].summary
    assert told["vocabulary"] == tokens["vocabulary"] and list(told["fields"]) == tokens["fields"]
    assert (told["patches"], told["recipe"]["seed"], told["recipe"]["epochs"]) == (4, 3, 1)


def test_left_out_by_sampling_by_the_split_and_for_want_of_words(plain: tuple[Recipe, Artifacts]) -> None:
    recipe, artifacts = plain
    catalog = open_catalog(artifacts, recipe.model, recipe.runtime)
    catalog.listings.tokens.lengths[0] = 0
    drawn_N = np.ones(122, np.bool_)
    drawn_N[[0, 1, 120, 121]] = False
    found = {"no text": 1, "not drawn (pretrain.sampling)": 1, "picture absent": 1, "picture broken": 1}
    assert left_out(catalog, drawn_N) == found
    assert 0 not in np.concatenate([catalog.pictured(part) for part in ("train", "valid", "test")])


def test_a_few_listings_are_read_at_once_however_large_a_batch_is(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, artifacts = load(shop_folder, optim={"batch_size": 4096})
    write(tmp_path / "whole", recipe, artifacts, "webdataset")
    start, read = Listings.start, list[int]()
    monkeypatch.setattr(Listings, "start", lambda self, rows, **how: read.append(len(rows)) or start(self, rows, **how))
    monkeypatch.setattr(module, "READ", 7)
    write(tmp_path / "few", recipe, artifacts, "webdataset")
    assert max(read) == 7 and sum(read) == 120
    assert contents(tmp_path / "few") == contents(tmp_path / "whole")


def test_a_folder_that_is_there_is_refused_before_anything_runs(shop_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        f"catalog: {{feeds: [{{path: {shop_folder / 'feed.csv'}, columns: {{id: id, title: title}}}}]}}\n"
        f"runtime: {{cache: {tmp_path / 'cache'}}}\n"
    )
    (tmp_path / "there").mkdir()
    result = CliRunner().invoke(
        app, ["samples", str(tmp_path / "shop.yaml"), str(tmp_path / "there"), "--as", "datasets"]
    )
    assert result.exit_code == 2 and "there: is there already; expected a new folder" in result.stderr
    assert not (tmp_path / "cache").exists()


def test_without_pictures_there_is_nothing_to_write(shop_folder: Path, tmp_path: Path) -> None:
    recipe, artifacts = load(shop_folder, ("catalog.feeds.0.columns.picture=null",))
    with pytest.raises(DataError, match=r"no listing of the train part .*columns\.picture"):
        write(tmp_path / "out", recipe, artifacts, "datasets")
    assert not list(tmp_path.iterdir())


def test_the_loops_of_the_docs_learn(
    plain: tuple[Recipe, Artifacts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    names: dict[str, Any] = {}
    losses = []
    for (form, out), block in zip({"datasets": "samples", "webdataset": "tars"}.items(), blocks, strict=True):
        (tmp_path / form).mkdir()
        write(tmp_path / form / out, *plain, form, epochs=16)
        monkeypatch.chdir(tmp_path / form)
        exec(block, names)
        losses.append((names["before"], names["after"]))
    assert losses[0] == losses[1]  # the same samples in the same order
    assert losses[0][1] < losses[0][0] - 0.5
