"""HDF5, as FashionGen is published: datasets of one length are the columns, each cell maybe a list of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.catalog.feeds.cells import chunks, damaged
from workbench.catalog.feeds.table import Table, cell_text
from workbench.errors import DataError

if TYPE_CHECKING:
    import h5py

BATCH_ROWS = 4096
BATCH_BYTES = 64 * 2**20
MOST_CHUNK_BYTES = 2**30  # HDF5 unpacks a chunk whole, whatever it claims to hold


def read_hdf5(path: Path, limit: int | None = None, file: str = "") -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows. Text is UTF-8, a cell that is none Latin-1.

    A dataset of pixels (rows, height, width[, channels]) becomes addresses `FILE::ROW::DATASET`, rows from 1. Raises
    DataError for a damaged file, and where no dataset holds a row for each product.
    """
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise DataError(f"{path}: reading HDF5 needs `pip install mlim[hdf5]`") from None
    yield from chunks(_parts(path, limit, file or path.name), "HDF5", file)


def _parts(path: Path, limit: int | None, container: str) -> Iterator[pl.DataFrame]:
    import h5py

    with damaged(path, "HDF5"), h5py.File(path, "r", locking=False) as source:
        columns = _columns(source, path)
        length = len(next(iter(columns.values())))
        rows = min(_batch_rows(column) for column in columns.values())
        yield pl.DataFrame(schema=dict.fromkeys(columns, pl.String))  # the header words
        stop = length if limit is None else min(limit, length)
        for start in range(0, stop, rows):
            here = range(start, min(stop, start + rows))
            yield pl.DataFrame({name: _cells(name, data, here, container) for name, data in columns.items()})


def _columns(source: h5py.File, path: Path) -> dict[str, h5py.Dataset]:
    """The datasets whose first length most of them have. What lies in other files (links) is not read."""
    import h5py

    found: dict[str, h5py.Dataset] = {}
    for name in source:
        if isinstance(source.get(name, getlink=True), h5py.HardLink) and isinstance(source[name], h5py.Dataset):
            data = source[name]
            if data.shape and not data.is_virtual and not data.external:
                found[name] = data
    lengths = [len(data) for data in found.values()]
    length = max(lengths, key=lambda one: (lengths.count(one), one), default=0)
    columns = {name: data for name, data in found.items() if len(data) == length}
    for name, data in columns.items():
        size = data.dtype.itemsize
        for side in data.chunks or data.shape[1:]:
            size *= side
        if size > MOST_CHUNK_BYTES:
            raise DataError(f"{path}: the dataset {name} claims chunks of {size / 2**30:,.1f} GiB; write it again")
    if not columns:
        raise DataError(f"{path}: the HDF5 file holds no dataset with rows; its names: {', '.join(source) or 'none'}")
    return columns


def _is_pixels(data: h5py.Dataset) -> bool:
    return data.ndim >= 3 and data.dtype.kind in "ui"


def _batch_rows(data: h5py.Dataset) -> int:
    if _is_pixels(data):
        return BATCH_ROWS  # they are not read
    size = data.dtype.itemsize
    for side in data.shape[1:]:
        size *= side
    return int(max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, size))))


def _cells(name: str, data: h5py.Dataset, rows: range, container: str) -> pl.Series:
    if _is_pixels(data):
        return pl.Series([f"{container}::{row + 1}::{name}" for row in rows], dtype=pl.String)
    values = data[rows.start : rows.stop]
    return pl.Series([_text(value) for value in values.tolist()], dtype=pl.String)


def _text(value: Any) -> str | None:
    """A list of one is that one; bytes end where C's do."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        return cell_text([_text(inner) for inner in value])
    if not isinstance(value, bytes):
        return cell_text(value)
    text = bytes(value.rstrip(b"\0"))
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
