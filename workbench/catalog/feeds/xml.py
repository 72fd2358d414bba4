"""XML: the element that repeats is a row. RSS, Atom and any other list of products, a row at a time."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.element import cells_of
from workbench.catalog.feeds.lines import open_bytes
from workbench.catalog.feeds.records import Records
from workbench.catalog.feeds.table import BadRow, Table

BLOCK = 2**16
CHUNK_ROWS = 20_000
CHUNK_CHARS = 2**25

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)""")
_FORBIDDEN = dict.fromkeys(set(range(32)) - {9, 10, 13})  # XML has no place for these characters, feeds have


def read_xml(path: Path, limit: int | None = None) -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows; a broken row is bad, and what follows is read on.

    Raises DataError where no element repeats, or the file declares entities.
    """
    with open_bytes(path) as file:
        encoding = _encoding(file.read(512))
    records = Records(path, _blocks(path, encoding))
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    size, tables = 0, 0
    for found in islice(records, limit):
        if isinstance(found, BadRow):
            bad.append(found)
        elif not (cells := cells_of(found, records.google)):
            bad.append(BadRow(found.line, "empty row", "an element without text or attributes"))
        else:
            rows.append(cells)
            lines.append(found.line)
            size += sum(map(len, rows[-1].values()))
        if len(rows) + len(bad) >= CHUNK_ROWS or size > CHUNK_CHARS:
            yield _table(rows, lines, bad, encoding)
            rows, lines, bad, size, tables = [], [], [], 0, tables + 1
    if rows or bad or not tables:
        yield _table(rows, lines, bad, encoding)


def _table(rows: list[dict[str, str]], lines: list[int], bad: list[BadRow], encoding: str) -> Table:
    words = dict.fromkeys(word for row in rows for word in row)
    cells = pl.DataFrame({word: pl.Series([row.get(word) for row in rows], dtype=pl.String) for word in words})
    return Table(cells, pl.Series("line", lines, pl.UInt32), tuple(bad), f"XML, {encoding}")


def _encoding(head: bytes) -> str:
    """By byte order mark, then as declared; Latin-1 is read as Windows-1252, of which it is a part, as browsers do."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    if head.startswith((b"<\0", b"\0<")):
        return "UTF-16-LE" if head[0:1] == b"<" else "UTF-16-BE"
    declared = _DECLARED.match(head.removeprefix(codecs.BOM_UTF8))
    try:
        name = codecs.lookup(declared[1].decode()).name if declared else "utf-8"
        "".encode(name)  # some codecs are no encodings of text
    except LookupError:
        return "UTF-8"
    known = {"iso8859-1": "Windows-1252", "ascii": "UTF-8", "utf-8": "UTF-8"}
    return known.get(name, "UTF-8" if name.startswith(("utf-16", "utf-32")) else name)


def _blocks(path: Path, encoding: str) -> Callable[[], Iterator[str]]:
    """The text of the file, from its beginning each time; bytes that are none in its encoding as Windows-1252."""

    def blocks() -> Iterator[str]:
        codec = "utf-8-sig" if encoding == "UTF-8" else encoding
        with open_bytes(path) as file, io.TextIOWrapper(file, codec, errors="windows-1252") as text:
            while block := text.read(BLOCK):
                if allowed := block.translate(_FORBIDDEN):
                    yield allowed

    return blocks


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("windows-1252", _as_windows_1252)
