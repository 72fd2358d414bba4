"""What a model reads at prediction is bit by bit what it read in training."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tests.answers import shop
from tests.answers.conftest import task_of
from workbench.answers.compose import compose
from workbench.answers.listing import Listing
from workbench.answers.preparation import Preparation
from workbench.catalog.dialects.pictures import split_pictures
from workbench.recipe.schema import Model, Runtime
from workbench.tasks.catalog import open_catalog

COLUMNS = [
    {"title": "name", "about": "about", "colour": "colour", "picture": "pic", "id": "sku"},
    {"title": "title", "about": "text", "picture": "image", "id": "id"},
]


def raw_listings(folder: Path) -> dict[str, Listing]:
    """The feeds' own cells, read by nobody but the csv reader."""
    found = {}
    for number, (name, words) in enumerate(zip(("feed.csv", "other.csv"), COLUMNS, strict=True)):
        cells = pl.read_csv(folder / name, infer_schema=False)
        for row, named in zip(cells.iter_rows(named=True), split_pictures(cells[words["picture"]]), strict=True):
            texts = {field: row[words[field]] for field in ("title", "about", "colour") if field in words}
            first, *more = [folder / "pictures" / one for one in named] if named is not None and len(named) else [None]
            found[row[words["id"]]] = Listing(row[words["id"]], texts, first, tuple(more), number)
    return found


@pytest.mark.parametrize(("encoding", "use"), [("png", "main"), ("jpeg", "main"), ("raw", "all")])
def test_every_row_of_the_training_catalog_is_prepared_as_it_was(tmp_path: Path, encoding: str, use: str) -> None:
    shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache", encoding, use)
    made = shop.make(tmp_path, tree, "tokens", "duplicates")
    tuned = task_of(tmp_path / "tuned", made["tokens"], tree)
    folder = compose({**made, "classify": tuned}, "classify", tmp_path / "model")
    told = json.loads((folder / "preparation.json").read_text())
    assert [sorted(feed["boilerplate"]) for feed in told["feeds"]] == [["text.about"], ["text.about"]]
    assert len(told["placeholders"]) == 1

    catalog = open_catalog(made, Model(**tree["model"]), Runtime(threads=1, cache=tmp_path))
    ids = catalog.items["id"].to_list()
    assert len(ids) == 79  # one row says nothing
    expected = catalog.listings.batch(np.arange(len(ids)))
    raw = raw_listings(tmp_path)
    prepared = Preparation.open(folder, threads=2).prepare([raw[one] for one in ids])
    for name in ("tokens_BL", "shown_BL", "text_real_BL", "has_text_B", "has_image_B", "pixels_BCHW", "rows_B"):
        assert torch.equal(getattr(expected, name), getattr(prepared.batch, name)), name
    assert catalog.shards.usable.tolist() == [state == "present" for state in prepared.pictures]
