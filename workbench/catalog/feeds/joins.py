"""The rows of a folder that lies as a known data set does, with what its other tables say of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.delimited import read_delimited
from workbench.catalog.feeds.layout import Join, Layout, Listing
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError

Reader = Callable[[Path, int | None], Iterator[Table]]


def read_layout(
    layout: Layout, listing: Listing, files: list[Path], limit: int | None, reader_of: Callable[[Path], Reader]
) -> Iterator[Table]:
    """Stream the rows of the layout's `files`, or the first `limit`, joined. What a join lacks is told in `read_as`."""
    others = [(join, _other(join, listing, reader_of)) for join in layout.joins]
    lost = [join.glob for join, other in others if other is None]
    said = f", {layout.name}" + "".join(f", without {glob}" for glob in dict.fromkeys(lost))
    left = limit
    for path in files:
        name = path.relative_to(listing.folder).as_posix()
        tables = read_delimited(path, left, layout.header) if layout.header else reader_of(path)(path, left)
        for table in tables:
            cells = _from_name(table.cells, layout.from_name, name)
            for join, other in others:
                cells = _joined(cells, join, other)
            yield replace(table, cells=cells, file=name, read_as=table.read_as + said)
            left = None if left is None else left - table.rows
        if left is not None and left <= 0:
            return


def _other(join: Join, listing: Listing, reader_of: Callable[[Path], Reader]) -> pl.DataFrame | None:
    """The other table: its key and what is taken, the first of each key; None where no file of it can be read."""
    wanted = [join.their_on, *join.take.values()]
    parts = []
    for path in listing.matching(join.glob):
        try:
            for table in reader_of(path)(path, None):
                if set(wanted) <= set(table.cells.columns):
                    parts.append(table.cells.select(list(dict.fromkeys(wanted))))
        except (DataError, OSError, EOFError):
            continue
    if not parts:
        return None
    return pl.concat(parts).drop_nulls(join.their_on).unique(join.their_on, keep="first", maintain_order=True)


def _joined(cells: pl.DataFrame, join: Join, other: pl.DataFrame | None) -> pl.DataFrame:
    new = [name for name in join.take if name not in cells.columns]
    if other is None or join.on not in cells.columns:
        return cells.with_columns(pl.lit(None, pl.String).alias(name) for name in new)
    taken = other.select(
        pl.col(join.their_on).alias("key"), *(pl.col(theirs).alias(ours) for ours, theirs in join.take.items())
    )
    if not join.each:
        rows = cells.select(pl.col(join.on).str.strip_chars().alias("key"))
        return cells.hstack(rows.join(taken, on="key", how="left", maintain_order="left").select(new))
    keys = pl.DataFrame(
        {"keys": [_keys(cell) for cell in cells[join.on]]}, {"keys": pl.List(pl.String)}
    ).with_row_index()
    each = keys.explode("keys").join(taken, left_on="keys", right_on="key", how="inner", maintain_order="left")
    lists = each.group_by("index", maintain_order=True).agg(new)
    texts = lists.with_columns(pl.col(new).map_elements(_as_json, pl.String))
    return cells.hstack(keys.select("index").join(texts, on="index", how="left", maintain_order="left").select(new))


def _keys(cell: str | None) -> list[str]:
    if not cell:
        return []
    if cell.startswith("["):
        try:
            return [str(key) for key in json.loads(cell)]
        except (ValueError, RecursionError):
            pass
    return [key for key in re.split(r"[\n,|;]\s*", cell) if key]


def _as_json(values: pl.Series) -> str | None:
    texts = [value for value in values if value is not None]
    return json.dumps(texts, ensure_ascii=False) if texts else None


def _from_name(cells: pl.DataFrame, pattern: str, name: str) -> pl.DataFrame:
    found = re.search(pattern, name) if pattern else None
    groups = found.groupdict() if found else {}
    return cells.with_columns(
        pl.lit(text, pl.String).alias(word) for word, text in groups.items() if word not in cells.columns
    )
