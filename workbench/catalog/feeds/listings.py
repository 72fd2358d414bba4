"""Objects as JSON has them -> a table: one column a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from workbench.catalog.feeds.table import BadRow, Table, cell_text


class Listings:
    """Gathers objects until they are a table; its columns are the keys met, null where an object lacks one."""

    def __init__(self) -> None:
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

    def table(self, read_as: str) -> Table:
        """What was gathered since the last table."""
        names: dict[str, None] = {}
        for listing in self._objects:
            if not listing.keys() <= names.keys():
                names.update(dict.fromkeys(listing))
        cells = pl.DataFrame([_column(name, [o.get(name) for o in self._objects]) for name in names])
        if not names:
            cells = pl.DataFrame(height=len(self._lines))
        table = Table(cells, pl.Series("line", self._lines, pl.UInt32), tuple(self._bad), read_as)
        self._clear()
        return table


def _column(name: str, values: list[Any]) -> pl.Series:
    if not set(map(type, values)) <= {str, type(None)}:
        values = [cell_text(value) for value in values]
    return pl.Series(name, values, pl.String)
