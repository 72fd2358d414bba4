"""The Fetch stage: pictures by web address -> their bytes in the cache, and one table of what became of each address.

    fetched.parquet   url, state, reason, sha256, bytes, type, etag, modified, final_url; in the order of first use

The bytes lie in `<cache>/pictures/ab/<sha256>`, where every artifact of this stage finds them again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Fetch, Images

VERSION = 1


def stage(fetch: Fetch, images: Images) -> Stage:
    """The stage for the pictures that `images.use` chooses. Pace and contact change no result: no key has them.

    `run` raises DataError when more bytes are to be expected than `fetch.most_bytes`.
    """
    max_pixels = images.max_pixels if images.too_large == "refuse" else sys.maxsize

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.catalog.fetch.run import run_fetch  # polars, Pillow and httpcore2

        return run_fetch(work, fetch, max_pixels, main_only=images.use == "main")

    section = {
        "fetch": fetch.model_dump(mode="json", exclude={"pace", "contact"}),
        "images": images.model_dump(mode="json", include={"use", "max_pixels", "too_large"}),
    }
    return Stage("fetch", VERSION, section, run, ("ingest",))
