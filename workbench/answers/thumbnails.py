"""Small pictures of an index's listings, to be shown beside them.

FOLDER/thumbnails.bin     files of pictures (JPEG or PNG), one after the other
FOLDER/thumbnails.npy     (N + 1,) uint64: where each listing's begins, and the end; an empty one: no picture
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

BYTES, STARTS = "thumbnails.bin", "thumbnails.npy"
SIDE = 160  # pixels of the longer side, at most
SMALL = 8 << 10  # bytes: a picture of fewer stays as it is
QUALITY = 85


def thumbnail(square: bytes, encoding: str) -> bytes:
    """Of a prepared picture (encoding jpeg or raw), JPEG or PNG; b"" of none."""
    if encoding == "raw" and square:
        Image.frombytes("RGB", (isqrt(len(square) // 3),) * 2, square).save(whole := io.BytesIO(), "PNG")
        square = whole.getvalue()
    if len(square) <= SMALL:
        return square
    image = Image.open(io.BytesIO(square)).convert("RGB")
    image.thumbnail((SIDE, SIDE))
    image.save(out := io.BytesIO(), "JPEG", quality=QUALITY)
    return out.getvalue()


class Writing:
    """The thumbnails of listings in their order."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.starts = file, [0]

    def add(self, data: bytes | None) -> None:
        self.starts.append(self.starts[-1] + self._file.write(data or b""))


@contextmanager
def writing(folder: Path) -> Iterator[Writing]:
    with (folder / BYTES).open("wb") as file:
        yield (written := Writing(file))
    np.save(folder / STARTS, np.array(written.starts, np.uint64))


class Thumbnails:
    """Those of a folder; none where there are none. Read where they lie, by any thread."""

    def __init__(self, folder: Path) -> None:
        there = (folder / STARTS).is_file() and (folder / BYTES).stat().st_size > 0
        self._starts = np.load(folder / STARTS) if there else np.zeros(0, np.uint64)
        self._bytes: bytes | mmap.mmap = b""
        if there:
            with (folder / BYTES).open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def has(self, number: int) -> bool:
        return number + 1 < len(self._starts) and bool(self._starts[number] < self._starts[number + 1])

    def __getitem__(self, number: int) -> bytes | None:
        return self._bytes[self._starts[number] : self._starts[number + 1]] if self.has(number) else None
