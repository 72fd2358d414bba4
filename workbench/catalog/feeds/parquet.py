"""Parquet: every column as text, a few thousand rows at a time; the bytes of pictures stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from workbench.catalog.feeds.cells import chunks, class_names, damaged, header, text_cells
from workbench.catalog.feeds.table import Table

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BATCH_ROWS = 4096
BATCH_BYTES = 32 * 2**20
PAGE = 2**20  # bytes of a column that are read at once, whatever the size of its groups of rows


def read_parquet(path: Path, limit: int | None = None, file: str = "") -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows. `file` is its name in a folder. DataError for a damaged file."""
    yield from chunks(_parts(path, limit, file or path.name), "Parquet", file)


def _parts(path: Path, limit: int | None, container: str) -> Iterator[pl.DataFrame]:
    import pyarrow.parquet as pq

    with damaged(path, "Parquet"), pq.ParquetFile(path, buffer_size=PAGE, page_checksum_verification=True) as source:
        classes = class_names(source.schema_arrow.metadata)
        yield header(source.schema_arrow.names)
        first = 1
        for group in range(source.num_row_groups):
            columns = _columns(source, group)
            held = _held(columns)
            leaves = [column for column in columns if column.path_in_schema not in held]
            rows = _batch_rows(source.metadata.row_group(group).num_rows, leaves)
            names = [column.path_in_schema for column in leaves]
            for batch in source.iter_batches(rows, [group], names, use_threads=False):
                if limit is not None and first > limit:
                    return
                batch = batch if limit is None else batch.slice(0, limit + 1 - first)
                batch.validate(full=True)
                yield text_cells(batch, container, first, classes, set(held.values()))
                first += batch.num_rows


def _columns(source: pq.ParquetFile, group: int) -> list[pq.ColumnChunkMetaData]:
    """What the file says of each column in a group of rows."""
    next(source.iter_batches(1, [group], use_threads=False), None)  # raises at damage that would end the process below
    meta = source.metadata.row_group(group)
    kinds = [source.schema.column(index).physical_type for index in range(meta.num_columns)]
    columns = [meta.column(index) for index in range(meta.num_columns)]
    if [column.physical_type for column in columns] != kinds:  # their statistics would end the process, too
        raise ValueError("the types of its columns contradict each other")
    return columns


def _held(columns: list[pq.ColumnChunkMetaData]) -> dict[str, str]:
    """Bytes of pictures that need not be read, for the statistics tell that all are there: their path -> the column."""
    paths = {column.path_in_schema for column in columns}
    held = {}
    for column in columns:
        path = column.path_in_schema
        if not path.endswith(".bytes") or path.removesuffix("bytes") + "path" not in paths:
            continue
        if column.physical_type == "BYTE_ARRAY" and column.statistics and column.statistics.null_count == 0:
            held[path] = path.removesuffix(".bytes").removesuffix(".list.element").removesuffix(".list.item")
    return held


def _batch_rows(rows: int, columns: list[pq.ColumnChunkMetaData]) -> int:
    size: int = sum(column.total_uncompressed_size for column in columns)
    return max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, size)))
