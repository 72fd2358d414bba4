"""Objects as JSON has them -> a table: one column a key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from workbench.catalog.feeds.table import MOST_COLUMNS, BadRow, Table, cell_text
from workbench.errors import DataError

_MOST_CELLS = 10_000_000  # of one table


class Listings:
    """Gathers objects until they are a table; its columns are the keys met, null where an object lacks one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clear()

    def _clear(self) -> None:
        self._objects: list[dict[str, Any]] = []
        self._lines: list[int] = []
        self._bad: list[BadRow] = []

    def add(self, line: int, listing: dict[str, Any]) -> None:
        self._objects.append(listing)
        self._lines.append(line)

    def extend(self, lines: Iterable[int], listings: Sequence[dict[str, Any]]) -> None:
        self._lines.extend(lines)
        self._objects.extend(listings)

    def add_bad(self, line: int, reason: str, detail: str) -> None:
        self._bad.append(BadRow(line, reason, detail))

    @property
    def rows(self) -> int:
        return len(self._lines) + len(self._bad)

    def tables(self, read_as: str) -> Iterator[Table]:
        """What was gathered since the last time: one table, or several where keys are so many that it would be large.

        Raises DataError for a listing with more keys than a table has columns.
        """
        step = max(1, _MOST_CELLS // max(1, len(_names(self._objects))))
        for start in range(0, max(1, len(self._objects)), step):
            objects, lines = self._objects[start : start + step], self._lines[start : start + step]
            names = _names(objects)
            if len(names) > MOST_COLUMNS:
                raise DataError(f"{self._path}: line {lines[0]}: more than {MOST_COLUMNS:,} keys; this is no listing")
            cells = pl.DataFrame([_column(name, [o.get(name) for o in objects]) for name in names])
            yield Table(cells, pl.Series("line", lines, pl.UInt32), tuple(self._bad), read_as)
            self._bad = []
        self._clear()


def _names(objects: Sequence[dict[str, Any]]) -> dict[str, None]:
    """All keys, in the order in which they are met."""
    names: dict[str, None] = {}
    for listing in objects:
        if not listing.keys() <= names.keys():
            names.update(dict.fromkeys(listing))
    return names


def _column(name: str, values: list[Any]) -> pl.Series:
    if not set(map(type, values)) <= {str, type(None)}:
        values = [cell_text(value) for value in values]
    return pl.Series(name, values, pl.String)
