"""The bytes of a picture -> what the index says of it, and its encoded square."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from imagecodecs import jpeg8_encode

from workbench.images.picture import Broken, square
from workbench.images.shard import Entry
from workbench.recipe.schema import Images

FLAT = "a single colour"
Made = tuple[Entry, bytes]  # encoded only if present


class Source(NamedTuple):
    data: bytes
    sha256: str


def made_of(source: Source, images: Images, encoding: str) -> Made:
    try:
        found = square(source.data, images)
    except Broken as broken:
        return Entry("broken", str(broken), source.sha256), b""
    note = FLAT if found.flat else None
    entry = Entry("present", note, source.sha256, found.width, found.height, *found.look)
    if encoding == "jpeg":  # the bytes that Pillow writes, while other threads go on
        return entry, bytes(jpeg8_encode(np.asarray(found.image), level=images.quality, subsampling="444"))
    out = io.BytesIO()
    found.image.save(out, "PNG")
    return entry, out.getvalue()
