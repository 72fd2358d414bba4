"""What becomes of a feed: its products by role, and what was joined and dropped, through look and products."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.catalog.dialects.look import look
from workbench.catalog.dialects.pictures import split_pictures
from workbench.catalog.dialects.products import products
from workbench.recipe.schema import Feed


@dataclass(frozen=True)
class Outcome:
    dialect: str
    items: dict[str, dict[str, Any]]  # id -> what the product says, without what it does not say
    joined: list[tuple[str, int, str]]  # id of the product, line, role
    bad: list[tuple[int, str]]  # line, reason


def outcome(path: Path, language: str | None = None, **feed: Any) -> Outcome:
    """Read a feed as ingest does, but for cleaning. Rows in = products + joined + bad is checked by the caller."""
    source = Feed(path=path, **feed)
    reading = look(source, "catalog.feeds.0", language)
    columns = reading.columns
    words = {"id": columns.id, "title": columns.title, "group": columns.group, "code": columns.code}
    words |= {"price": columns.price, "language": columns.language, "split": columns.split}
    words |= {f"text.{name}": word for name, word in columns.text.items()}
    words |= {f"label.{name}": word for name, word in columns.labels.items()}
    found = Outcome(reading.dialect, {}, [], [])
    for part in products(source, reading):
        cells = part.cells
        ids = _cells(cells, columns.id)
        lists = [split_pictures(_cells(cells, word)) for word in (columns.picture, *columns.pictures) if word]
        for row, item in enumerate(ids):
            assert item not in found.items, f"{item} twice"
            said = {role: _cells(cells, word)[row] for role, word in words.items() if word and role != "id"}
            pictures = list(dict.fromkeys(name for each in lists for name in each[row]))
            found.items[item] = {role: cell for role, cell in said.items() if cell} | {"pictures": pictures}
        assert len(part.lines) == cells.height
        found.joined.extend((ids[index], line, role) for index, _, line, role in part.joined.iter_rows())
        found.bad.extend((bad.line, bad.reason) for bad in part.bad)
    return found


def _cells(cells: pl.DataFrame, word: str) -> pl.Series:
    """A column; columns may differ between chunks."""
    return cells[word] if word in cells.columns else pl.Series([None] * cells.height, dtype=pl.String)
