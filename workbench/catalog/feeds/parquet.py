"""Parquet: every column as text."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.catalog.feeds.table import Table, cell_text
from workbench.errors import DataError


def read_parquet(path: Path, limit: int | None = None) -> Table:
    """Read a feed, or its first `limit` rows; columns of bytes are left out. DataError for a damaged file."""
    try:
        schema = pl.read_parquet_schema(path)
        readable = [name for name, kind in schema.items() if kind != pl.Binary]
        frame = pl.read_parquet(path, columns=readable, n_rows=limit)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: can't be read as Parquet ({reason}); write the file again") from None
    cells = pl.DataFrame([_text(column) for column in frame.get_columns()])
    lines = pl.Series("line", range(1, frame.height + 1), pl.UInt32)
    return Table(cells, lines, (), "Parquet")


def _text(column: pl.Series) -> pl.Series:
    if column.dtype.is_nested():
        return pl.Series(column.name, [cell_text(value) for value in column.to_list()], pl.String)
    return column.cast(pl.String)
