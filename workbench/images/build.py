"""The Images stage: every picture decoded once, wholly, on the CPU, fitted into a square and stored by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Catalog, Images

VERSION = 1


def stage(images: Images, catalog: Catalog, digests: Mapping[str, str]) -> Stage:
    """The stage; `digests` are those of each feed's pictures, by recipe key (catalog.feeds.0.pictures)."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.images.store import store  # polars and Pillow

        places = [feed.pictures or feed.path.parent for feed in catalog.feeds]
        return store(work, images, places)

    return Stage("images", VERSION, {"images": images.model_dump(mode="json")}, run, ("ingest",), dict(digests))
