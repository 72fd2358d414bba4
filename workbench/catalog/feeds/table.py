"""What every reader gives: columns of text as the feed wrote them, where each row stood, and the rows it can't read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

CHUNK = 100_000  # most rows of a table that is one of many

MOST_COLUMNS = 10_000


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
    mended: tuple[BadRow, ...] = ()  # rows among `cells` that were not as they should be, and what was done

    @property
    def rows(self) -> int:
        """Rows found in the feed, readable or not."""
        return len(self.lines) + len(self.bad)


def text_frame(header: Sequence[str], rows: Sequence[Sequence[str]]) -> pl.DataFrame:
    """Rows as String columns."""
    columns: Iterable[Sequence[str]] = zip(*rows, strict=True) if rows else [()] * len(header)
    return pl.DataFrame([pl.Series(name, column, pl.String) for name, column in zip(header, columns, strict=True)])


def joined(tables: Sequence[Table]) -> Table:
    """Tables of one feed as one; a row has null in the columns that its table lacked."""
    last = tables[-1]
    return replace(
        last,
        cells=pl.concat([table.cells for table in tables], how="diagonal").rechunk(),
        lines=pl.concat([table.lines for table in tables]).rechunk(),
        bad=tuple(row for table in tables for row in table.bad),
        mended=tuple(row for table in tables for row in table.mended),
    )


def first_rows(table: Table, limit: int) -> Table:
    """The first `limit` rows, bad ones counted."""
    if table.rows <= limit:
        return table
    lines = sorted([*table.lines.to_list(), *(row.line for row in table.bad)])
    end = lines[limit] if limit else 0
    kept = table.lines < end
    return replace(
        table,
        cells=table.cells.filter(kept),
        lines=table.lines.filter(kept),
        bad=tuple(row for row in table.bad if row.line < end),
        mended=tuple(row for row in table.mended if row.line < end),
    )


def cell_text(value: Any) -> str | None:
    """A JSON or Parquet value as a cell: scalars as they read, the rest as JSON.

    A list of scalars is joined by ", "; by line ends where one has a comma of its own or is a sentence.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not any(isinstance(inner, (list, dict)) for inner in value):
        texts = [text for inner in value if (text := cell_text(inner)) is not None]
        return ("\n" if any(re.search(PHRASE, text) for text in texts) else ", ").join(texts)
    if isinstance(value, (list, dict)):
        plain = parse_json(json.dumps(value, default=str))  # a number reads alike from every format
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def unpacked(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells, those that hold a list or an object written as JSON read as `cell_text` reads such a value.

    CSV and TSV have no other way to write `["red", "blue"]`, and the same catalog must read the same from any format.
    """
    if not cells.width:
        return cells
    text = pl.all().str
    packed = (text.starts_with("[") & text.ends_with("]")) | (text.starts_with("{") & text.ends_with("}"))
    some = [name for name, any_ in zip(cells.columns, cells.select(packed.any()).row(0), strict=True) if any_]
    return cells.with_columns(pl.col(name).map_elements(_unpacked, pl.String) for name in some)


def plainly_named(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells; header words that polars takes for a pattern of column names (`*`, `^…$`) in parentheses."""
    names = cells.columns
    for place, name in enumerate(names):
        while name == "*" or (name.startswith("^") and name.endswith("$")) or name in names[:place]:
            name = f"({name})"
        names[place] = name
    plain = cells.clone()
    plain.columns = names
    return plain


def _unpacked(cell: str) -> str | None:
    if cell[:1] not in ("[", "{"):
        return cell
    try:
        return cell_text(whole(parse_json(cell), cell))
    except (ValueError, RecursionError):  # `[MASK]` and the like
        return cell


def whole(value: Any, source: str) -> Any:
    """The value with U+FFFD for every escaped surrogate that lacks its other half, which is no text."""
    if not _SURROGATE.search(source):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


PHRASE = r", |[.!?]$"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
as_written = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)  # numbers as they are written
parse_json = as_written.decode


def excerpt(text: str) -> str:
    """The beginning of a bad row, for its detail."""
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:79] + "…"
