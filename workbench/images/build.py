"""The Images stage: every picture decoded once, wholly, on the CPU, fitted into a square and stored by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.key import Digests
from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Catalog, Images

VERSION = 5


def stage(
    images: Images,
    catalog: Catalog,
    sources: Mapping[str, str],
    fetched: bool = False,
    digests: Digests | None = None,
) -> Stage:
    """The stage for the pictures of these feeds; `sources` gives digests of all of a feed's pictures by recipe key.

    `fetched`: pictures by web address come from the fetch stage. `digests` of files are those that the plan knows.
    """

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.images.origin import place_of
        from workbench.images.store import store  # polars and Pillow

        return store(work, images, [place_of(feed) for feed in catalog.feeds], digests)

    needs = ("ingest", "fetch") if fetched else ("ingest",)
    section = {"images": images.model_dump(mode="json")}
    return Stage("images", VERSION, section, run, needs, dict(sources), streams="shard-*.bin")
