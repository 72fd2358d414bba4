"""Arrow files (Feather, and what `datasets` caches and saves): every column as text, read in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.cells import chunks, class_names, damaged, header, text_cells
from workbench.catalog.feeds.table import Table

BATCH_ROWS = 4096
FILE_MAGIC = b"ARROW1"  # the stream format, which `datasets` writes, begins with FF FF FF FF


def read_arrow(path: Path, limit: int | None = None, file: str = "") -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows. `file` is its name in a folder. DataError for a damaged file."""
    yield from chunks(_parts(path, limit, file or path.name), "Arrow", file)


def _parts(path: Path, limit: int | None, container: str) -> Iterator[pl.DataFrame]:
    import pyarrow as pa

    with damaged(path, "Arrow"), pa.memory_map(str(path)) as source:
        is_file = source.read(len(FILE_MAGIC)) == FILE_MAGIC
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        classes = class_names(reader.schema.metadata)
        yield header(reader.schema.names)
        first = 1
        for batch in batches:
            batch.validate(full=True)  # else offsets that lie would be followed out of the file
            for start in range(0, batch.num_rows, BATCH_ROWS):
                length = BATCH_ROWS if limit is None else min(BATCH_ROWS, limit + 1 - first)
                if length <= 0:
                    return
                piece = batch.slice(start, length)
                yield text_cells(piece, container, first, classes)
                first += piece.num_rows
