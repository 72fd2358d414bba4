"""Bytes of downloads: judged as they come, and kept by content in `<cache>/pictures/ab/<sha256>`."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO

from PIL import Image

from workbench.artifacts.bucket import Bucket

_TYPES = {  # how files of each kind begin
    "jpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "gif": rb"GIF8",
    "webp": rb"RIFF....WEBP",
    "avif": rb"....ftypavi[fs]",
    "heic": rb"....ftyp(hei|hev|mif|msf)",
    "tiff": rb"II\*\0|MM\0\*",
    "bmp": rb"BM....\0\0\0\0",
    "jpeg2000": rb"\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51",
    "web page": rb"(\xef\xbb\xbf)?\s*+(?:(?><\?xml[^>]*>|<!--.*?-->)\s*+)*+<(!doctype\s+html|html|head|body)\b",
}
AT_ONCE = 16  # pictures on their way to an object store
_HEADER = 2**20  # bytes: a header that tells no size within them is left to the images stage
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF")


class Broken(Exception):
    """Bytes that are no picture, or too many; the message is the reason."""


class Content:
    """The cache of pictures by the SHA-256 of their bytes; `there`: the object store in which it is, too."""

    def __init__(self, root: Path, there: Bucket | None = None) -> None:
        self._root, self._there = root, there

    def path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    def has(self, sha256: str | None, size: int | None) -> bool:
        """Whether these bytes are kept, so many of them."""
        if sha256 is None:
            return False
        try:
            return self.path(sha256).stat().st_size == size
        except OSError:
            return self._sizes.get(f"{sha256[:2]}/{sha256}") == size

    def keep(self, aside: Path, sha256: str, size: int) -> None:
        """Move a complete file in, by one rename, unless its bytes are there already."""
        if not self.has(sha256, size):
            path = self.path(sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.replace(path)

    def share(self, sizes: Mapping[str, int]) -> None:
        """Send what is not there yet of pictures of these SHA-256 and bytes. Raises MlimError."""
        if there := self._there:
            names = {f"{sha256[:2]}/{sha256}": size for sha256, size in sizes.items()}
            with ThreadPoolExecutor(AT_ONCE) as pool:
                waiting = [name for name, size in names.items() if self._sizes.get(name) != size]
                list(pool.map(lambda name: there.send(self._root / name, f"{self._root.name}/{name}"), waiting))

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return self._there.sizes(self._root.name) if self._there else {}


class Incoming:
    """One picture on its way in, written to `file` chunk by chunk; `add` raises Broken as soon as it can be known."""

    def __init__(self, file: IO[bytes], max_bytes: int, max_pixels: int) -> None:
        self._file, self._max_bytes, self._max_pixels = file, max_bytes, max_pixels
        self._digest, self._head, self._look_at = hashlib.sha256(), bytearray(), 1024
        self.bytes = 0

    def expect(self, size: int) -> None:
        """Told by the server or counted."""
        if size > self._max_bytes:
            raise Broken(f"more bytes than fetch.max_bytes allows ({self._max_bytes / 2**20:.6g} MiB)")

    def add(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        self.expect(self.bytes)
        self._file.write(chunk)
        self._digest.update(chunk)
        if len(self._head) < _HEADER:
            self._head += chunk[: _HEADER - len(self._head)]
            self._look()

    def done(self) -> tuple[str, str]:
        """(sha256, type) of the whole."""
        if not self.bytes:
            raise Broken("zero bytes")
        return self._digest.hexdigest(), self._type()

    def _look(self) -> None:
        """At the first bytes, then whenever twice as many are there, until the picture's size is known."""
        if len(self._head) < self._look_at:
            return
        self._type()
        size = _pixels(bytes(self._head))
        self._look_at = 2 * len(self._head) if size is None else _HEADER + 1
        if size and size > self._max_pixels:
            most = f"{self._max_pixels / 1e6:,.6g} megapixels"
            raise Broken(f"{size / 1e6:,.6g} megapixels, more than images.max_pixels allows ({most})")

    def _type(self) -> str:
        head = bytes(self._head[:1024])
        found = next((kind for kind, start in _TYPES.items() if re.match(start, head, re.S | re.I)), "unknown")
        if found == "web page":
            raise Broken("a web page, not a picture")
        return found


def _pixels(head: bytes) -> int | None:
    """Width x height by the header of a picture that begins so; None if it isn't told there."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours is judged instead
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(head), formats=_FORMATS) as image:
                return image.width * image.height
    except Exception:  # Pillow's readers raise OSError, SyntaxError, struct.error and others for a head alone
        return None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
