"""What a dialect makes of single rows before they are grouped: failed ones, whole ids, parts of a cell as columns."""

from __future__ import annotations

import re
from dataclasses import replace

import polars as pl

from workbench.catalog.dialects.dialect import Dialect
from workbench.catalog.dialects.words import matching
from workbench.catalog.feeds.table import BadRow, Table, excerpt


def derived(cells: pl.DataFrame, dialect: Dialect) -> pl.DataFrame:
    """The cells, ids with the digits they were published with, and a column for each part of a cell.

    A spreadsheet or pandas turns `0108775015` into `108775015` or `108775015.0`: the folder of its picture is then
    another one. `women/dresses/91/91_0.jpeg` holds the product's id: `parts` of a dialect are patterns for such cells.
    """
    for word, digits in dialect.digits.items():
        for column in matching([word], cells.columns):
            whole = pl.col(column).str.strip_chars().str.replace(r"^(\d+)\.0+$", "$1")
            number = whole.str.contains(r"^\d+$")
            cells = cells.with_columns(pl.when(number).then(whole.str.zfill(digits)).otherwise(column).alias(column))
    for word, pattern in dialect.parts.items():
        for column in matching([word], cells.columns)[:1]:
            names = [name for name in re.compile(pattern).groupindex if name not in cells.columns]
            groups = pl.col(column).str.extract_groups(pattern)
            cells = cells.with_columns(groups.struct.field(name) for name in names)
    for new, words in dialect.moved.items():
        cells = _moved(cells, new, matching(words, cells.columns))
    return cells


def _moved(cells: pl.DataFrame, new: str, columns: list[str]) -> pl.DataFrame:
    """In each row the first filled cell of `columns` goes to the column `new`; its place is left empty."""
    if not columns:
        return cells
    filled = [pl.col(column).str.strip_chars() != "" for column in columns]
    first = pl.coalesce(pl.when(there).then(pl.lit(column)) for column, there in zip(columns, filled, strict=True))
    from_ = cells.select(first).to_series()
    taken = pl.coalesce(pl.when(from_ == column).then(pl.col(column)) for column in columns)
    left = (pl.when(from_.ne_missing(column)).then(pl.col(column)).alias(column) for column in columns)
    return cells.with_columns(taken.alias(new), *left)


def without_failed(table: Table, dialect: Dialect) -> Table:
    """The table, rows that say themselves that they failed among its bad ones: `failed to download`."""
    failed = dialect.failed
    if failed is None or not (words := matching([failed.word], table.cells.columns)):
        return table
    said = pl.col(words[0]).str.strip_chars()
    fails = table.cells.select((said.str.len_chars() > 0) & ~said.is_in(failed.passes)).to_series().fill_null(False)
    whys = matching([failed.why], table.cells.columns)
    rows = table.cells.filter(fails)
    details = rows[whys[0]].to_list() if whys else [None] * rows.height
    found = zip(table.lines.filter(fails), rows[words[0]], details, strict=True)
    bad = [BadRow(line, reason.strip().replace("_", " "), excerpt(why or "")) for line, reason, why in found]
    return replace(table, cells=table.cells.filter(~fails), lines=table.lines.filter(~fails), bad=(*table.bad, *bad))
