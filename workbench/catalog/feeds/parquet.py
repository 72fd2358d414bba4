"""Parquet: every column as text, a few thousand rows at a time; the bytes of pictures stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from workbench.catalog.feeds.cells import chunks, class_names, damaged, header, text_cells
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BATCH_ROWS = 4096
BATCH_BYTES = 32 * 2**20
MOST_COLUMN_BYTES = 4 * 2**30  # of one column in one row group: a small file can claim anything


def read_parquet(path: Path, limit: int | None = None, file: str = "") -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows. `file` is its name in a folder. DataError for a damaged file."""
    yield from chunks(_parts(path, limit, file or path.name), "Parquet", file)


def _parts(path: Path, limit: int | None, container: str) -> Iterator[pl.DataFrame]:
    import pyarrow.parquet as pq

    with damaged(path, "Parquet"), pq.ParquetFile(path, page_checksum_verification=True) as source:
        classes = class_names(source.schema_arrow.metadata)
        yield header(source.schema_arrow.names)
        first = 1
        for group in range(source.num_row_groups):
            _check_size(path, source, group)
            leaves, held = _leaves(source, group)
            size = _batch_rows(source, group, leaves)
            for batch in source.iter_batches(size, [group], leaves, use_threads=False):
                if limit is not None:
                    batch = batch.slice(0, max(0, limit + 1 - first))
                if not batch.num_rows:
                    return
                batch.validate(full=True)
                yield text_cells(batch, container, first, classes, held)
                first += batch.num_rows


def _check_size(path: Path, source: pq.ParquetFile, group: int) -> None:
    meta = source.metadata.row_group(group)
    for index in range(meta.num_columns):
        size = meta.column(index).total_uncompressed_size
        if size > MOST_COLUMN_BYTES:
            raise DataError(
                f"{path}: row group {group} claims {size / 2**30:,.1f} GiB in column "
                f"{meta.column(index).path_in_schema}; write the file again with smaller row groups"
            )


def _leaves(source: pq.ParquetFile, group: int) -> tuple[list[str], set[str]]:
    """Which columns of the file to read, and the pictures of which the statistics tell that all bytes are there."""
    meta = source.metadata.row_group(group)
    columns = [meta.column(index) for index in range(meta.num_columns)]
    paths = {column.path_in_schema for column in columns}
    held: dict[str, str] = {}
    for column in columns:
        path, counts = column.path_in_schema, column.statistics
        beside = path.removesuffix("bytes") + "path"
        if path.endswith(".bytes") and beside in paths and counts is not None and counts.null_count == 0:
            held[path] = path.removesuffix(".bytes").removesuffix(".list.element").removesuffix(".list.item")
    return [column.path_in_schema for column in columns if column.path_in_schema not in held], set(held.values())


def _batch_rows(source: pq.ParquetFile, group: int, leaves: list[str]) -> int:
    meta = source.metadata.row_group(group)
    columns = [meta.column(index) for index in range(meta.num_columns)]
    size: int = sum(column.total_uncompressed_size for column in columns if column.path_in_schema in leaves)
    rows: int = BATCH_BYTES * meta.num_rows // max(1, size)
    return max(1, min(BATCH_ROWS, rows))
