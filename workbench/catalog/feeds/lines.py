"""Bytes -> lines of text: gzip, byte order marks, UTF-8 with Windows-1252 where a line is none."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked when it is gzip (told by its first bytes, not by its name)."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


class Lines:
    """Iterates over physical lines, line ends kept; lines end in \\n, \\r\\n or \\r and nowhere else.

    Shops mix encodings within one file, so each line that is no UTF-8 is read as Windows-1252 by itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._utf16 = False
        self._fallbacks = 0
        self.ended = False  # True once the last line was given and another asked for

    def __iter__(self) -> Iterator[str]:
        with open_bytes(self._path) as file:
            head = file.read(4)
            file.seek(0)
            self._utf16 = head.startswith(_UTF16)
            if self._utf16:
                with io.TextIOWrapper(file, "utf-16", errors="replace", newline="") as text:
                    yield from text
            else:
                for i, chunk in enumerate(file):
                    chunk = chunk.removeprefix(codecs.BOM_UTF8) if i == 0 else chunk
                    yield from map(self._decode, chunk.splitlines(keepends=True))
        self.ended = True

    @property
    def encoding(self) -> str:
        """What was met so far."""
        if self._utf16:
            return "UTF-16"
        return f"UTF-8, {self._fallbacks} lines as Windows-1252" if self._fallbacks else "UTF-8"

    def _decode(self, line: bytes) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            self._fallbacks += 1
            return line.decode("cp1252", errors="replace")
