"""What a dialect makes of single cells before rows are grouped: ids made whole, parts of a cell as columns."""

from __future__ import annotations

import re

import polars as pl

from workbench.catalog.dialects.dialect import Dialect
from workbench.catalog.dialects.words import matching


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
    return cells
