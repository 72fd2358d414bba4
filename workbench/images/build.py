"""The Images stage: every picture decoded once, wholly, on the CPU, fitted into a square and stored by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Catalog, Feed, Images

VERSION = 1


def stage(images: Images, catalog: Catalog, digests: Mapping[str, str]) -> Stage:
    """The stage; of `digests` it takes those of the feeds' pictures (catalog.feeds.0.pictures, …)."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.images.store import store  # polars and Pillow

        return store(work, images, [feed.pictures or feed.path.parent for feed in catalog.feeds])

    named = [f"catalog.feeds.{i}.pictures" for i, feed in enumerate(catalog.feeds) if _may_have_pictures(feed)]
    section = {"images": images.model_dump(mode="json")}
    return Stage("images", VERSION, section, run, ("ingest",), {key: digests[key] for key in named})


def _may_have_pictures(feed: Feed) -> bool:
    """False where the recipe maps columns and none of them is a picture: the feed's folder need not be read."""
    return feed.pictures is not None or feed.columns is None or feed.columns.picture is not None
