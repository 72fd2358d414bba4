"""Which reader a feed needs."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from workbench.catalog.feeds.arrow import read_arrow
from workbench.catalog.feeds.delimited import read_delimited
from workbench.catalog.feeds.document import read_document
from workbench.catalog.feeds.excel import ENDINGS as EXCEL
from workbench.catalog.feeds.excel import read_excel
from workbench.catalog.feeds.folder import layout_beside, read_beside, read_folder
from workbench.catalog.feeds.hdf5 import read_hdf5
from workbench.catalog.feeds.hub import read_dataset
from workbench.catalog.feeds.jsonl import read_jsonl
from workbench.catalog.feeds.lines import open_bytes
from workbench.catalog.feeds.parquet import read_parquet
from workbench.catalog.feeds.sql import read_query
from workbench.catalog.feeds.table import Table, joined, plainly_named, unpacked
from workbench.catalog.feeds.webdataset import read_tar
from workbench.catalog.feeds.xml import read_xml
from workbench.errors import DataError
from workbench.recipe.schema import Feed
from workbench.recipe.secrets import without_password

Reader = Callable[[Path, int | None], Iterator[Table]]


def open_feed(path: Path, limit: int | None = None) -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows, in tables of at most 100,000 rows, in bounded memory whatever its size.

    What it is its first bytes say, then its name. Columns may differ between tables (JSON keys met later).
    Raises DataError when it can't be opened, is of no known kind, or holds no row that can be read.
    """
    yield from _told(str(path), lambda: _reader(path)(path, limit))


def open_source(feed: Feed, limit: int | None = None) -> Iterator[Table]:
    """As `open_feed`, whatever the recipe names: a path, a data set or a query."""
    if feed.path is not None:
        yield from open_feed(feed.path, limit)
    elif feed.dataset is not None:
        yield from _told(feed.dataset, partial(read_dataset, feed.dataset, limit))
    else:
        assert feed.database is not None and feed.query is not None  # the recipe has one of the three
        yield from _told(without_password(feed.database), partial(read_query, feed.database, feed.query, limit))


def _told(name: str, read: Callable[[], Iterator[Table]]) -> Iterator[Table]:
    """What is read, cells that hold JSON unpacked; an error that tells the feed's name where nothing can be."""
    kept = bad = 0
    first: Table | None = None  # the first table that has a bad row, else the first
    try:
        for table in read():
            first = table if first is None or (table.bad and not bad) else first
            kept, bad = kept + len(table.lines), bad + len(table.bad)
            yield replace(table, cells=unpacked(plainly_named(table.cells)))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{name}: the feed can't be read ({reason}); correct the path or write the file again"
        ) from None
    if not kept:
        raise _nothing(name, first, bad)


def read_feed(path: Path, limit: int | None = None) -> Table:
    """All of a feed, or its first `limit` rows, as one table. Raises as `open_feed`."""
    return joined(list(open_feed(path, limit)))


def _nothing(name: str, table: Table | None, rows: int) -> DataError:
    if table and table.bad:
        bad = table.bad[0]
        found = f"line {bad.line}: {bad.reason}: {bad.detail}"
        return DataError(f"{name}: none of {rows} rows can be read as {table.read_as}; {found}")
    words = ", ".join(table.cells.columns if table else []) or "none"
    return DataError(f"{name}: the feed holds no row (header words: {words}); give one with at least one listing")


def _reader(path: Path) -> Reader:
    """That of a feed: a file which is part of a data set is read with what lies beside it."""
    if path.is_file() and (layout := layout_beside(path, _kind)):
        return lambda path, limit: read_beside(layout, path, limit, _kind)
    return _kind(path)


def _kind(path: Path) -> Reader:
    head = b"" if path.is_dir() else _head(path)
    name = (path.stem if path.suffix.lower() == ".gz" else path.name).lower()
    for says, reader in chain(_BY_CONTENT, _BY_NAME):
        if says(path, head, name):
            return reader
    raise DataError(
        f"{path}: unknown kind of feed; expected .csv, .tsv, .txt, .jsonl, .ndjson, .json, .xml (also .gz), .parquet, "
        ".arrow, .xlsx, .ods, .h5, or the folder of a data set"
    )


def _head(path: Path) -> bytes:
    with open_bytes(path) as file:
        return file.read(4096)


def _named(*endings: str) -> Callable[[Path, bytes, str], bool]:
    return lambda path, head, name: name.endswith(endings) and not head.lstrip().startswith(b"<")  # a saved web page


def _starts(*magic: bytes) -> Callable[[Path, bytes, str], bool]:
    return lambda path, head, name: head.startswith(magic)


# A list of objects or one that goes over several lines is a document; one object a line is JSON lines.
_OBJECT = re.compile(rb"(\xef\xbb\xbf)?\s*\{\s*[\"}]")
_XML = re.compile(rb"(\xef\xbb\xbf)?\s*<(\?xml|rss|feed|\!DOCTYPE (?!html))")
_DOCUMENT = re.compile(rb"(\xef\xbb\xbf)?\s*(\[\s*[\[{\]]|\{\s*[\r\n])")

# (whether path, first 4096 unpacked bytes and lower-case name without .gz say so, the reader), first that fits.
_BY_CONTENT: list[tuple[Callable[[Path, bytes, str], bool], Reader]] = [
    (lambda path, head, name: path.is_dir(), lambda path, limit: read_folder(path, limit, _kind)),
    (_starts(b"PAR1"), read_parquet),
    (lambda path, head, name: head[257:262] == b"ustar" or name.endswith(".tar"), read_tar),
    (_starts(b"ARROW1", b"\xff\xff\xff\xff"), read_arrow),
    (_starts(b"\x89HDF"), read_hdf5),
    (_starts(b"\xd0\xcf\x11\xe0"), read_excel),  # .xls
    (lambda path, head, name: bool(_XML.match(head)), read_xml),
    (lambda path, head, name: bool(_DOCUMENT.match(head)), read_document),
    (lambda path, head, name: bool(_OBJECT.match(head)) and not name.endswith(".json"), read_jsonl),
]
_BY_NAME: list[tuple[Callable[[Path, bytes, str], bool], Reader]] = [
    (_named(".parquet"), read_parquet),
    (_named(".arrow", ".feather"), read_arrow),
    (_named(".h5", ".hdf5"), read_hdf5),
    (_named(*EXCEL), read_excel),
    (lambda path, head, name: name.endswith((".xml", ".rss", ".atom")), read_xml),
    (_named(".jsonl", ".ndjson"), read_jsonl),
    (_named(".json"), read_document),
    (_named(".csv", ".tsv", ".txt", ".tab", ".psv"), read_delimited),
]
