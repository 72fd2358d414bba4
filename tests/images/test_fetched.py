"""Pictures that the fetch stage left in the cache, beside those of a folder."""

import hashlib

import polars as pl
import pytest

from tests.images.conftest import Shop, artifact, encoded, plaid
from workbench.artifacts.stage import Work
from workbench.errors import ArtifactError
from workbench.images.fetched import Fetched
from workbench.images.names import Absent
from workbench.images.store import store
from workbench.recipe.schema import Images, Runtime

GOOD = encoded(plaid())
SHA = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def work(tmp_path):
    """A fetch artifact of three addresses, of which one was fetched."""
    (tmp_path / "fetch").mkdir()
    lines = [
        ("http://a.test/1.png", "fetched", None, SHA),
        ("//a.test/2.png", "absent", "404 Not Found", None),
        ("http://a.test/3.png", "broken", "a web page, not a picture", None),
    ]
    table = pl.DataFrame(lines, ["url", "state", "reason", "sha256"], orient="row")
    table.write_parquet(tmp_path / "fetch" / "fetched.parquet")
    place = tmp_path / "pictures" / SHA[:2] / SHA
    place.parent.mkdir(parents=True)
    place.write_bytes(GOOD)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "4.png").write_bytes(GOOD)
    (tmp_path / "out").mkdir()
    shop = Shop(tmp_path, tmp_path / "local", [line[0] for line in lines] + ["4.png", "http://a.test/5.png"])
    inputs = {"ingest": shop.ingest, "fetch": artifact(tmp_path / "fetch", "fetch")}
    return Work(tmp_path / "out", inputs, Runtime(cache=tmp_path), shop.console, tmp_path / "log")


def test_web_addresses_come_from_the_cache_and_other_names_from_the_folder(work, tmp_path):
    store(work, Images(side=16), [tmp_path / "local"])
    index = pl.read_parquet(work.folder / "index.parquet")
    assert list(zip(index["state"], index["reason"], strict=True)) == [
        ("present", None),
        ("absent", "404 Not Found"),
        ("broken", "a web page, not a picture"),
        ("present", None),
        ("absent", "not fetched, since an earlier picture of its listing was"),
    ]
    assert index["sha256"].to_list() == [SHA, None, None, SHA, None]


def test_lost_and_changed_bytes_are_told(work, tmp_path):
    fetched = Fetched(work)
    assert fetched.read("http://a.test/1.png") == GOOD
    place = tmp_path / "pictures" / SHA[:2] / SHA
    for damage in (lambda: place.write_bytes(GOOD[:-1]), place.unlink):
        damage()
        with pytest.raises(ArtifactError, match=r"since http://a\.test/1\.png was fetched; delete .*fetch, run again"):
            fetched.read("http://a.test/1.png")


def test_without_a_fetch_section_nothing_is_downloaded_and_that_is_said_once(work, tmp_path):
    del work.inputs["fetch"]
    store(work, Images(side=16), [tmp_path / "local"])
    index = pl.read_parquet(work.folder / "index.parquet")
    assert index["state"].to_list() == ["absent"] * 3 + ["present", "absent"]
    assert set(index["reason"]) == {"a web address; add `fetch: {}` to the recipe to download it", None}
    said = work.console.export_text()
    assert said.count("note: 4 pictures at one host are web addresses, and nothing is downloaded unasked; add") == 1
    assert "none of the" not in said


@pytest.mark.parametrize("name", ["a.jpg", "C:/a.jpg", "//images/a.jpg", "00000.tar::a.jpg", "/a.jpg"])
def test_names_that_are_no_web_addresses(work, name):
    assert name not in Fetched(work)


@pytest.mark.parametrize("name", ["HTTP://a.test/x", "//cdn.test/x.jpg", "ftp://a.test/x", "s3://bucket/x"])
def test_names_that_are(work, name):
    fetched = Fetched(work)
    assert name in fetched
    with pytest.raises(Absent):
        fetched.read(name)
