"""The Images stage: every picture decoded once, wholly, on the CPU, fitted into a square and stored by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Catalog, Images

VERSION = 1


def stage(images: Images, catalog: Catalog, digests: Mapping[str, str]) -> Stage:
    """The stage for the pictures of these feeds; `digests` gives those of the pictures by recipe key."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.images.store import store  # polars and Pillow

        return store(work, images, [feed.pictures or feed.path.parent for feed in catalog.feeds])

    return Stage("images", VERSION, {"images": images.model_dump(mode="json")}, run, ("ingest",), dict(digests))
