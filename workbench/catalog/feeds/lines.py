"""Bytes -> whole lines of UTF-8: gzip, byte order marks, UTF-16, and Windows-1252 where a line is no UTF-8."""

from __future__ import annotations

import codecs
import gzip
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from workbench.errors import DataError

FIRST, BLOCK = 2**18, 2**23  # bytes read at once, at first and at most: some want the head alone
_MARKS = re.compile(rb"(^|[\r\n])(?:\xef\xbb\xbf)++(?!\n)")  # without it, \r and \n would be one line end
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
        self.path = path
        self._wide = ""  # which UTF-16
        self._fallbacks = 0

    def __iter__(self) -> Iterator[bytes]:
        tail = b""
        for read in self._read():
            block = tail + read
            cut = _whole(block)
            if len(block) - cut > LONGEST:
                raise DataError(f"{self.path}: a line is longer than {LONGEST >> 20} MiB; this is no table of listings")
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
        """The bytes, UTF-16 as UTF-8."""
        with open_bytes(self.path) as file:
            size = FIRST
            block = file.read(size)
            self._wide = _wide(block)
            decoder = codecs.getincrementaldecoder(self._wide or "ascii")("replace")
            while block:
                size = min(2 * size, BLOCK)
                following = file.read(size)
                yield decoder.decode(block, not following).encode() if self._wide else block
                block = following

    def _utf8(self, block: bytes) -> bytes:
        if b"\xef" in block:  # a byte order mark at the beginning, and again wherever files were joined
            block = _MARKS.sub(rb"\1", block)
        return block if _is_utf8(block) else b"".join(map(self._line, block.splitlines(keepends=True)))

    def _line(self, line: bytes) -> bytes:
        try:
            line.decode()
        except UnicodeDecodeError:
            self._fallbacks += 1
            return line.decode("cp1252", "replace").encode()
        return line


def _is_utf8(block: bytes) -> bool:
    """As `block.decode()` tells, without making the text."""
    import pyarrow as pa

    ends = pa.py_buffer(struct.pack("<2q", 0, len(block)))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(block)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _whole(block: bytes) -> int:
    """Bytes up to the end of the last line that is surely ended; a \\r at the very end may be half of \\r\\n."""
    return block.rfind(b"\n") + 1 or block.rfind(b"\r", 0, len(block) - 1) + 1


def _wide(head: bytes) -> str:
    """Which UTF-16 it is: by its byte order mark, else by NULs where the upper halves of Western letters would be."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    upper = {"utf-16-be": head[0:4096:2], "utf-16-le": head[1:4096:2]}
    even, odd = (half.count(0) for half in upper.values())
    likely = "utf-16-be" if even > odd else "utf-16-le"
    signs = sum(0x20 <= byte < 0x7F for byte in upper[likely])
    return likely if max(even, odd) > 10 * min(even, odd) and max(even, odd) > signs else ""
