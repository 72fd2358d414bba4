"""Addresses in object storage as paths, and back."""

from pathlib import Path

import pytest

from workbench.errors import RecipeError
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.places import WRITTEN, path_of, shown, url_of, usual_scratch

SCRATCH = Path("/fast")
FEED = {"path": "s3://shop/feeds/june.csv", "pictures": "photos"}


@pytest.mark.parametrize(
    "url", ["s3://shop", "s3://shop/a b/ü.csv", "gs://b/x", "abfs://box@acme/x", "s3://b/x#?[*].tar"]
)
def test_an_address_is_found_again_in_its_path(url):
    assert url_of(path_of(url, SCRATCH)) == url
    assert url_of(path_of(url, SCRATCH, WRITTEN), WRITTEN) == url
    assert url_of(path_of(url, SCRATCH), WRITTEN) is None


def test_other_ways_to_write_an_address():
    assert path_of("s3://shop//feeds/./x/../june.csv/", SCRATCH) == SCRATCH / "objects.mlim/s3/shop/feeds/june.csv"
    assert path_of("file:///data/feed.csv", SCRATCH) == Path("/data/feed.csv")
    assert url_of("/data/feed.csv") is None


@pytest.mark.parametrize("url", ["https://acme.com/feed.csv", "s3://", "s3://../etc/passwd"])
def test_what_is_no_address_of_an_object_store(url):
    with pytest.raises(
        ValueError, match="expected a path, or an address in an object store such as s3://bucket/folder"
    ):
        path_of(url, SCRATCH)
    with pytest.raises(RecipeError, match=r"catalog\.feeds\.0\.path: expected a path"):
        recipe_from_tree({"catalog": {"feeds": [{"path": url}]}}, Path("/recipes"))


def test_people_are_shown_addresses():
    text = f"error: {path_of('s3://shop/feed.csv', SCRATCH)}, line 3: '{path_of('s3://out/r', SCRATCH, WRITTEN)}' x/y"
    assert shown(text) == "error: s3://shop/feed.csv, line 3: 's3://out/r' x/y"


def test_a_recipe_names_addresses_where_it_may_name_paths():
    tree = {"catalog": {"feeds": [FEED]}, "runtime": {"reports": "s3://out/reports", "scratch": "fast"}}
    recipe = recipe_from_tree(tree, Path("/recipes"))
    assert recipe.catalog.feeds[0].path == Path("/recipes/fast/objects.mlim/s3/shop/feeds/june.csv")
    assert recipe.catalog.feeds[0].pictures == Path("/recipes/photos")
    assert recipe.runtime.reports == Path("/recipes/fast/written.mlim/s3/out/reports")
    assert recipe.runtime.cache == Path("/recipes/.mlim")


def test_copies_lie_in_the_users_cache_unless_the_recipe_says_where(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert usual_scratch() == Path("/caches/mlim")
    recipe = recipe_from_tree({"catalog": {"feeds": [FEED]}}, Path("/recipes"))
    assert url_of(recipe.catalog.feeds[0].path) == FEED["path"]
    assert recipe.catalog.feeds[0].path.is_relative_to("/caches/mlim")


def test_paths_of_a_recipe_that_lies_in_object_storage():
    tree = {"catalog": {"feeds": [{"path": "june.csv"}]}}
    recipe = recipe_from_tree(tree, path_of("s3://shop/feeds", SCRATCH), ["runtime.scratch=/fast"])
    assert url_of(recipe.catalog.feeds[0].path) == "s3://shop/feeds/june.csv"
    assert url_of(recipe.runtime.reports, WRITTEN) == "s3://shop/feeds/reports"
