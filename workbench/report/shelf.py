"""Listings to show on a page: id, title and a thumbnail of the picture, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import polars as pl
from PIL import Image

from workbench.images.shard import Shards

THUMBNAIL = 128  # pixels


class Shelf:
    """Listings by row; the pictures of those shown gather in `pictures`, by the names that `show` gives."""

    def __init__(self, listings: pl.DataFrame, shards: Shards) -> None:
        """`listings` has a line for each row, in order, with id, title and text.*."""
        self.pictures: dict[str, bytes] = {}
        self._listings, self._shards = listings, shards

    def show(self, row: int) -> dict[str, Any]:
        """Id, title, and name of the main picture, None where it can't be used."""
        line, name = self._listings.row(row, named=True), None
        if self._shards.usable[row]:
            name = f"listing-{row}"
            self.pictures[name] = png(self._shards.image(row), THUMBNAIL)
        return {"id": line["id"], "title": title_of(line), "picture": name}


def title_of(line: Mapping[str, Any]) -> str:
    """A listing's title, or the first text it has; ingest keeps none without."""
    texts = [line["title"], *(line[name] for name in line if name.startswith("text."))]
    return str(next(text for text in texts if text))


def png(image: Image.Image, most: int) -> bytes:
    """A picture as PNG, at most `most` pixels wide and high."""
    out = io.BytesIO()
    image.thumbnail((most, most), Image.Resampling.LANCZOS)
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
