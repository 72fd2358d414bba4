"""Bytes -> whole lines of UTF-8: gzip, byte order marks, UTF-16, and Windows-1252 where a line is no UTF-8."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from workbench.errors import DataError

FIRST, BLOCK = 2**18, 2**22  # bytes read at once; few at first, for those who want the head alone
LONGEST = 2**26  # bytes of one line, more is no feed


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked when it is gzip (told by its first bytes, not by its name)."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


class Lines:
    """Iterates over blocks of whole physical lines, in UTF-8; lines end in \\n, \\r\\n or \\r and nowhere else.

    Shops mix encodings within one file, so each line that is no UTF-8 is read as Windows-1252 by itself.
    Raises DataError for a line of more than 64 MiB.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wide = ""  # which UTF-16
        self._fallbacks = 0

    def __iter__(self) -> Iterator[bytes]:
        tail = b""
        for read in self._read():
            block = tail + read
            cut = _whole(block)
            if len(block) - cut > LONGEST:
                raise DataError(
                    f"{self._path}: a line is longer than {LONGEST >> 20} MiB; this is no table of listings"
                )
            if cut:
                yield self._utf8(block[:cut])
            tail = block[cut:]
        if tail:
            yield self._utf8(tail)

    @property
    def encoding(self) -> str:
        """What was met so far."""
        if self._wide:
            return "UTF-16"
        return f"UTF-8, {self._fallbacks} lines as Windows-1252" if self._fallbacks else "UTF-8"

    def _read(self) -> Iterator[bytes]:
        """The bytes, UTF-16 as UTF-8, byte order marks at the beginning removed."""
        with open_bytes(self._path) as file:
            block = file.read(FIRST)
            self._wide = _wide(block)
            decoder = codecs.getincrementaldecoder(self._wide or "ascii")("replace")
            first = True
            while block:
                following = file.read(BLOCK)
                if self._wide:
                    block = decoder.decode(block, not following).encode()
                while first and block.startswith(codecs.BOM_UTF8):
                    block = block[3:]
                yield block
                block, first = following, False

    def _utf8(self, block: bytes) -> bytes:
        try:
            block.decode()
        except UnicodeDecodeError:
            return b"".join(map(self._line, block.splitlines(keepends=True)))
        return block

    def _line(self, line: bytes) -> bytes:
        try:
            line.decode()
        except UnicodeDecodeError:
            self._fallbacks += 1
            return line.decode("cp1252", "replace").encode()
        return line


def _whole(block: bytes) -> int:
    """Bytes up to the end of the last line that is surely ended; a \\r at the very end may be half of \\r\\n."""
    return block.rfind(b"\n") + 1 or block.rfind(b"\r", 0, len(block) - 1) + 1


def _wide(head: bytes) -> str:
    """Which UTF-16 it is: by its byte order mark, else by NULs at every other place, as Western text has them."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0:4096:2].count(0), head[1:4096:2].count(0)
    if max(even, odd) * 20 < min(len(head), 4096) or min(even, odd) * 10 > max(even, odd):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"
