"""A picture, however it is given -> the bytes of a file, from which everything goes as in training."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from workbench.images.colour import plain
from workbench.images.names import Absent, check_size
from workbench.images.picture import ORIENTATION

Fetch = Callable[[str], bytes]  # a web address -> the bytes there; raises Absent, or ValueError for a bad picture
WEB = re.compile(r"(https?:)?//", re.IGNORECASE)
_CHANNELS = ((), (3,), (4,))  # of an array: grey, RGB, RGBA


def bytes_of(picture: Any, fetch: Fetch | None = None) -> bytes:
    """The bytes of a picture's file; see `Listing`. Pixels become a lossless PNG.

    Raises Absent where there is none of that name, OSError where it can't be read, ValueError for what is no picture.
    """
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, Image.Image):
        return _of_image(picture)
    if isinstance(picture, np.ndarray):
        return _png(_image_of(picture))
    if isinstance(picture, str) and WEB.match(picture):
        if not fetch:
            raise Absent("a web address, and fetching is not allowed")
        return fetch(picture)
    if isinstance(picture, str | Path):
        return _of_file(Path(picture))
    if callable(picture):
        return bytes(picture())
    raise ValueError(f"a {type(picture).__name__}, expected bytes, a path, a PIL image or an array")


def _of_file(path: Path) -> bytes:
    try:
        check_size(path.stat().st_size)
        return path.read_bytes()
    except FileNotFoundError:
        raise Absent("no such file") from None


def _of_image(image: Image.Image) -> bytes:
    """Of one that is not decoded yet its file's own bytes: nobody can have changed it."""
    if isinstance(image, ImageFile.ImageFile) and getattr(image, "_im", None) is None and image.fp:
        place = image.fp.tell()
        image.fp.seek(0)
        data = image.fp.read()
        image.fp.seek(place)
        return data
    return _png(image)


def _image_of(array: np.ndarray[Any, Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim < 2 or array.shape[2:] not in _CHANNELS or not array.size:
        raise ValueError(
            f"an array of {array.dtype} {array.shape}, expected uint8 (height, width), (height, width, 3) or (…, 4)"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _png(image: Image.Image) -> bytes:
    """Lossless, and as the camera was held."""
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        transparent = image.has_transparency_data
        image = image.convert("RGBA") if transparent else plain(image, "#ffffff")
    exif, out = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    image.save(out, "PNG", compress_level=1, exif=exif)
    return out.getvalue()
