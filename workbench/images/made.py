"""The bytes of a picture -> what the index says of it, and its encoded square."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from imagecodecs import jpeg8_encode
from PIL import Image

from workbench.images.line import Entry, checksum
from workbench.images.picture import Broken, square

if TYPE_CHECKING:  # pydantic takes longer to import than all else that makes a picture
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
        return Entry("broken", str(broken), sha256=source.sha256), b""
    stored = _encoded(found.image, images.quality, encoding)
    note = FLAT if found.flat else None
    of_source = (source.sha256, found.width, found.height)
    return Entry("present", note, checksum(stored), found.image.width, *of_source, *found.look), stored


def _encoded(square: Image.Image, quality: int, encoding: str) -> bytes:
    if encoding == "raw":
        return square.tobytes()
    if encoding == "jpeg":  # the bytes that Pillow writes, while other threads go on
        return bytes(jpeg8_encode(np.asarray(square), level=quality, subsampling="444"))
    out = io.BytesIO()
    square.save(out, "PNG")
    return out.getvalue()
