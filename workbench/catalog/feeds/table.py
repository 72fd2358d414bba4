"""What every reader gives: columns of text as the feed wrote them, where each row stood, and the rows it can't read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class BadRow:
    """A row that can't be read: its line (from 1; where the row begins), one reason, and what was found."""

    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Table:
    """A feed, or the next rows of it, as text. Nothing is typed: `000123`, `NA` and `None` are what they say, and only
    null is missing."""

    cells: pl.DataFrame  # String columns named by the header words
    lines: pl.Series  # UInt32, the line of each row (Parquet, Excel, SQL: its number), from 1
    bad: tuple[BadRow, ...]
    read_as: str  # format, delimiter and encoding, for the summary
    file: str = ""  # which file of a folder, relative to it; "" where the feed is one file

    @property
    def rows(self) -> int:
        """Rows found in the feed, readable or not."""
        return len(self.lines) + len(self.bad)


class Rows:
    """Gathers rows into text columns, a chunk at a time so that a million rows stay small."""

    def __init__(self, header: Sequence[str]) -> None:
        self.header = list(header)
        self._rows: list[Sequence[str | None]] = []
        self._chunks: list[pl.DataFrame] = []

    def add(self, row: Sequence[str | None]) -> None:
        self._rows.append(row)
        if len(self._rows) == 50_000:
            self._flush()

    def frame(self) -> pl.DataFrame:
        """Everything added; a row shorter than the final header has null in the columns that came later."""
        self._flush()
        return pl.concat(self._chunks, how="diagonal").rechunk()

    def _flush(self) -> None:
        width = len(self.header)
        rows = (row if len(row) == width else [*row, *[None] * (width - len(row))] for row in self._rows)
        columns: Iterable[Sequence[str | None]] = zip(*rows, strict=True) if self._rows else [()] * width
        schema = dict.fromkeys(self.header, pl.String)
        self._chunks.append(pl.DataFrame(dict(zip(self.header, columns, strict=True)), schema))
        self._rows = []


def cell_text(value: Any) -> str | None:
    """A JSON or Parquet value as a cell: scalars as they read, lists of them joined by ", ", the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not any(isinstance(inner, (list, dict)) for inner in value):
        return ", ".join(text for inner in value if (text := cell_text(inner)) is not None)
    if isinstance(value, (list, dict)):
        plain = parse_json(json.dumps(value, default=str))  # a number reads alike from every format
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def unpacked(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells, those that hold a list or an object written as JSON read as `cell_text` reads such a value.

    CSV and TSV have no other way to write `["red", "blue"]`, and the same catalog must read the same from any format.
    """
    return cells.with_columns(
        pl.when(pl.col(name).str.contains(r"(?s)^\s*(\[.*\]|\{.*\})\s*$"))
        .then(pl.col(name).map_elements(_unpacked, pl.String))
        .otherwise(pl.col(name))
        for name in cells.columns
    )


def _unpacked(cell: str) -> str | None:
    if cell.strip()[:1] not in ("[", "{"):
        return cell
    try:
        return cell_text(parse_json(cell.strip()))
    except (ValueError, RecursionError):  # `[MASK]` and the like
        return cell


parse_json = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).decode  # numbers as they are written


def excerpt(text: str) -> str:
    """The beginning of a bad row, for its detail."""
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:79] + "…"
