"""Which reader a feed file needs."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

from workbench.catalog.feeds.delimited import read_delimited
from workbench.catalog.feeds.jsonl import read_jsonl
from workbench.catalog.feeds.lines import open_bytes
from workbench.catalog.feeds.parquet import read_parquet
from workbench.catalog.feeds.table import Table, unpacked
from workbench.errors import DataError


def read_feed(path: Path, limit: int | None = None) -> Table:
    """Read a feed file, or its first `limit` rows, by what its first bytes and its name say it is.

    Raises DataError when it can't be opened, is of no known kind, or holds no row.
    """
    try:
        with open_bytes(path) as file:
            head = file.read(4096)
        table = _read(path, head, limit)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: the feed can't be read ({reason}); correct the path or write the file again"
        ) from None
    if table.bad and table.lines.is_empty():
        first = table.bad[0]
        found = f"line {first.line}: {first.reason}: {first.detail}"
        raise DataError(f"{path}: none of {table.rows} rows can be read as {table.read_as}; {found}")
    if not table.rows:
        words = ", ".join(table.cells.columns) or "none"
        raise DataError(f"{path}: the feed holds no row (header words: {words}); give one with at least one listing")
    return replace(table, cells=unpacked(table.cells))


def _read(path: Path, head: bytes, limit: int | None) -> Table:
    suffix = Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()
    if head.startswith(b"PAR1") or suffix == ".parquet":
        return read_parquet(path, limit)
    if suffix in (".jsonl", ".ndjson") or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return read_jsonl(path, limit)
    if suffix in (".csv", ".tsv", ".txt") and not head.startswith(b"<"):  # a web page saved as one
        return read_delimited(path, limit)
    raise DataError(f"{path}: unknown kind of feed; expected .csv, .tsv, .txt, .jsonl, .ndjson (also .gz) or .parquet")
