"""Parquet files written a piece at a time: the same bytes however the pieces are cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import pyarrow.parquet as pq

GROUP = 16_384  # rows of a row group: few enough for memory where descriptions are long


class RowGroups:
    """A Parquet file written in groups of `GROUP` rows, in one piece of memory each; renamed to its name at the end.

    Which columns get a dictionary the first group says: those whose values recur in it. Trying one on ids and long
    texts takes half of the time that writing takes, and makes the file larger.
    """

    def __init__(self, path: Path, schema: Mapping[str, type[pl.DataType] | pl.DataType]) -> None:
        self.rows = 0
        self._path, self._aside = path, path.with_name(path.name + ".tmp")
        self._waiting = [pl.DataFrame(schema=schema)]
        self._writer: pq.ParquetWriter | None = None

    def add(self, frame: pl.DataFrame) -> None:
        """The next rows, in the columns of the schema."""
        self.rows += frame.height
        self._waiting.append(frame)
        if sum(f.height for f in self._waiting) >= GROUP:
            rows = pl.concat(self._waiting)
            for start in range(0, rows.height - GROUP + 1, GROUP):
                self._write(rows.slice(start, GROUP))
            self._waiting = [rows.slice(rows.height - rows.height % GROUP)]

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not kind:
            rows = pl.concat(self._waiting)
            if rows.height or not self.rows:
                self._write(rows)
        if self._writer:
            self._writer.close()
        if not kind:
            self._aside.replace(self._path)

    def _write(self, rows: pl.DataFrame) -> None:
        import pyarrow.parquet as pq

        table = _arrow(rows).combine_chunks()
        if self._writer is None:
            recur = [values.name for values in rows if 2 * values.n_unique() <= len(values)]
            how = {"compression": "zstd", "compression_level": 1, "use_dictionary": recur, "write_statistics": ["row"]}
            self._writer = pq.ParquetWriter(self._aside, table.schema, **how)
        self._writer.write_table(table, row_group_size=GROUP)


def compact(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows in memory of their own: a few rows filtered out of many keep all of these alive otherwise."""
    return pl.DataFrame(pl.from_arrow(_arrow(rows)))


def _arrow(rows: pl.DataFrame):  # type: ignore[no-untyped-def]  # pyarrow has no types
    return rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
