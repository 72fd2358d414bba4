"""The sample catalog is what data/README.md says."""

import csv
import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from workbench.catalog.split import part_of
from workbench.recipe.schema import Split

ROOT = Path(__file__).parents[2]
MARKET = ROOT / "data" / "market"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_market", ROOT / "benchmarks" / "make_market.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_market"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def google() -> pl.DataFrame:
    return pl.read_csv(MARKET / "google.csv", infer_schema=False)


@pytest.fixture(scope="module")
def twitter() -> pl.DataFrame:
    frame = pl.read_csv(MARKET / "twitter.tsv", infer_schema=False, separator="\t")
    return pl.DataFrame(frame.get_columns(), ["sku", "item_group_id", "title", "department", "aisle", "image"])


@pytest.fixture(scope="module")
def pairs(google: pl.DataFrame, twitter: pl.DataFrame) -> pl.DataFrame:
    listings = [frame.select("sku", "item_group_id", "department", "aisle") for frame in (google, twitter)]
    table = pl.read_csv(MARKET / "pairs.csv", infer_schema=False)
    return table.join(listings[0], left_on="left", right_on="sku").join(
        listings[1], left_on="right", right_on="sku", suffix="_right"
    )


def test_counts_and_size(google: pl.DataFrame, twitter: pl.DataFrame) -> None:
    assert google.height + twitter.height == 3150
    assert pl.concat([google["item_group_id"], twitter["item_group_id"]]).n_unique() == 976
    assert sum(f.stat().st_size for f in (ROOT / "data").rglob("*") if f.is_file()) <= 12_000_000


def test_every_listing_has_its_picture(google: pl.DataFrame, twitter: pl.DataFrame) -> None:
    with zipfile.ZipFile(MARKET / "google.zip") as archive:
        assert sorted(archive.namelist()) == sorted(google["image"])
    with tarfile.open(MARKET / "twitter.tar") as archive:
        assert sorted(archive.getnames()) == sorted(twitter["image"])


def test_pairs_stay_in_their_part_and_a_third_match(pairs: pl.DataFrame) -> None:
    assert pairs.height == 4725 and pairs.select("left", "right").is_unique().all()
    parts = pairs.with_columns(
        pl.col(c).map_elements(lambda g: part_of(g, Split()), pl.String)
        for c in ("item_group_id", "item_group_id_right")
    )
    assert (parts["item_group_id"] == parts["item_group_id_right"]).all()
    matches = parts.group_by(pl.col("item_group_id").alias("part")).agg((pl.col("match") == "1").sum(), pl.len())
    assert sorted(matches.rows()) == [("test", 412, 1236), ("train", 948, 2844), ("valid", 215, 645)]


def test_matches_are_the_same_product_and_negatives_are_hard(pairs: pl.DataFrame) -> None:
    product = pairs["left"].str.strip_prefix("GO-") == pairs["right"].str.strip_prefix("TW-")
    assert (product == (pairs["match"] == "1")).all()
    negatives = pairs.filter(pl.col("match") == "0")
    tones = negatives["item_group_id"] == negatives["item_group_id_right"]
    aisle = negatives["aisle"] == negatives["aisle_right"]
    assert (tones.sum(), (aisle & ~tones).sum(), (~aisle).sum()) == (696, 2322, 132)
    assert (negatives["department"] == negatives["department_right"]).all()


def test_the_pairs_can_be_made_again(maker: ModuleType, google: pl.DataFrame, twitter: pl.DataFrame) -> None:
    columns = ["sku", "item_group_id", "title", "department", "aisle", "image"]
    sellers = [
        [
            maker.Listing(sku, sku[3:], group, title, (), *rest)
            for sku, group, title, *rest in frame.select(columns).rows()
        ]
        for frame in (google, twitter)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["left", "right", "match"], *maker.make_pairs(*sellers)])
    assert text.getvalue() == (MARKET / "pairs.csv").read_text()
