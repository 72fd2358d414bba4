"""A model asked from Python: however listings are given, the answers are those of `mlim predict` of the same feed."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from tests.answers.test_run import opened
from workbench import Model, load_model
from workbench.answers.answers import Answers
from workbench.answers.embed import embedding
from workbench.answers.index import Index
from workbench.answers.listing import Listing
from workbench.answers.predict import predicting
from workbench.answers.run import run
from workbench.errors import DataError, RecipeError


@pytest.fixture(scope="module")
def model(sold: Any) -> Model:
    return load_model(sold.model, device="cpu", threads=1, quiet=True)


@pytest.fixture(scope="module")
def frame(sold: Any) -> pl.DataFrame:
    return pl.read_csv(sold.folder / "feed.csv", infer_schema=False).filter(pl.col("sku") != "")


def test_a_feed_and_a_data_frame_are_answered_as_by_the_command(
    sold: Any, model: Model, answers: Answers, frame: pl.DataFrame, tmp_path: Path
):
    feed = opened(answers, sold.folder / "feed.csv", sold.folder / "pictures")
    run(answers, [feed], tmp_path / "out.parquet", predicting(answers, top=2))
    expected = pl.read_parquet(tmp_path / "out.parquet")
    pictures = sold.folder / "pictures"
    found = model.predict(sold.folder / "feed.csv", top=2, pictures=pictures)
    assert_frame_equal(found.table.drop("title"), expected)
    for same in (frame, frame.lazy(), frame.to_pandas()):
        assert_frame_equal(model.predict(same, top=2, pictures=pictures).table.drop("title"), expected)
    assert len(found) == expected.height and repr(found) == repr(found.table)


def test_listings_with_pictures_in_memory(sold: Any, model: Model):
    path = sold.folder / "pictures/3.png"
    data, image = path.read_bytes(), Image.open(path)
    ways = [path, str(path), data, image, np.asarray(image.convert("RGB")), lambda: data]
    found = model.predict([{"id": n, "title": "red mug", "picture": way} for n, way in enumerate(ways)]).table
    assert found["picture"].to_list() == ["present"] * 6 and found["id"].to_list() == [*"012345"]
    assert found["kind.probability"].n_unique() == 1
    probability = pytest.approx(found["kind.probability"][0])
    assert model.predict(Listing("x", {"title": "red mug"}, path)).table["kind.probability"][0] == probability
    held = pl.DataFrame({"title": ["red mug"], "picture": [data]})
    assert model.predict(held).table["kind.probability"][0] == probability
    assert model.predict([]).table.height == 0


def test_a_frame_in_the_models_own_words_needs_no_id(model: Model, monkeypatch, sold: Any):
    monkeypatch.chdir(sold.folder)
    own = pl.DataFrame({"title": ["red mug", "blue cup"], "picture": ["pictures/3.png", "gone.png"]})
    found = model.predict(own).table
    assert found["id"].to_list() == ["pictures/3.png", "gone.png"]  # which tells them apart
    assert found["picture"].to_list() == ["present", "absent: no such file"]
    assert model.predict(own.select("title")).table["id"].to_list() == ["0", "1"]
    (listed,) = model.predict({"title": "red mug", "picture": "pictures/3.png"}).table.iter_rows(named=True)
    assert listed["kind.probability"] == pytest.approx(found["kind.probability"][0])
    odd = pd.DataFrame({"what": ["red mug"], "pic": ["pictures/3.png"]})
    found = model.predict(odd, columns={"title": "what", "picture": "pic"})
    assert found.table["kind.probability"][0] == pytest.approx(listed["kind.probability"])


def test_pairs_and_clusters(model: Model):
    listings = [
        {"id": f"{side}{n}", "title": f"{word} of {n}"} for n, word in enumerate(["lamp", "mug"]) for side in "LR"
    ]
    found = model.match(listings, [("L0", "R0"), ("L0", "R1"), ("L0", "gone")])
    assert found.table["left"].to_list() == ["L0"] * 3 and found.table["match"][0]
    assert found.table["probability"][0] > found.table["probability"][1] and found.table["probability"][2] is None
    frame = pl.DataFrame({"left": ["L0"], "right": ["R1"]})
    assert model.match(listings, frame).table["probability"][0] == found.table["probability"][1]
    clusters = model.match(listings)
    assert clusters.table["id"].to_list() == ["L0", "R0", "L1", "R1"] and clusters.table["cluster"][1] == "L0"
    assert "L0" in found._repr_html_() and "listed several times" in clusters._repr_html_()


def test_search_finds_what_an_index_on_the_disk_does(sold: Any, model: Model, answers: Answers, tmp_path: Path):
    feed = opened(answers, sold.folder / "feed.csv", sold.folder / "pictures")
    run(answers, [feed], tmp_path / "p.parquet", embedding(answers, tmp_path / "p.index"))
    points = model.embed(sold.folder / "feed.csv", pictures=sold.folder / "pictures")
    np.testing.assert_allclose(np.linalg.norm(points.points, axis=1), 1, rtol=1e-5)
    query = {"title": "red lamp", "picture": sold.folder / "pictures/3.png"}
    here, there = model.search(points, query, 5), model.search(tmp_path / "p.index", query, 5)
    assert here.table["id"].to_list() == there.table["id"].to_list() and len(here) == 5
    assert_frame_equal(here.table, there.table, abs_tol=1e-6)
    assert here._repr_html_().count("<img") == there._repr_html_().count("<img") > 0
    assert "“red lamp” and a picture" in here._repr_html_()
    assert len(Index.open(tmp_path / "p.index", answers.key)) == len(points)
    assert len(model.search(model.embed([]), "mug")) == 0
    for wrong, message in ((" ", "nothing to look for"), ({"picture": "gone.png"}, "the query's picture: absent")):
        with pytest.raises(DataError, match=message):
            model.search(points, wrong)


def test_what_is_shown_is_escaped_and_needs_nothing_else(model: Model, sold: Any):
    bad = '<script>alert("1")</script>'
    listings = [{"id": bad, "title": bad, "picture": sold.folder / f"pictures/{n}.png"} for n in range(30)]
    for shown in (model.predict(listings, top=1), model.embed(listings), model.match(listings), model):
        page = shown._repr_html_()
        assert ("<script" not in page and "&lt;script&gt;" in page) or shown is model
        assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import", page)
    page = model.predict(listings)._repr_html_()
    assert page.count("<img") == 24 and "and 6 more in .table" in page
    Image.open(io.BytesIO(base64.b64decode(re.findall(r"base64,([^\"]+)", page)[0]))).load()


def test_what_is_wrong_is_told(model: Model, sold: Any, tmp_path: Path):
    cases: list[tuple[Any, str]] = [
        (tmp_path / "no.csv", "no such file or folder"),
        ([{"titel": "mug"}], "reads no field 'titel'"),
        ([3], "listing 0: a int; expected a dict"),
        (3, "a int: expected a feed's path"),
    ]
    for given, message in cases:
        with pytest.raises(DataError, match=message):
            model.predict(given)
    with pytest.raises(DataError, match="no model"):
        load_model(tmp_path)
    with pytest.raises(DataError, match="this model answers classify, match"):
        model.predict([{"title": "mug"}], task="fill")
    with pytest.raises(RecipeError, match="keys of a recipe"):
        load_model(sold.model, pretrain__epochs=3)
