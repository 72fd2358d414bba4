"""Pictures in the cells of Parquet, Arrow and HDF5, read in place, from several threads."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from workbench.images.names import Absent, check_size

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 8 * 2**20  # of Parquet that is read at once; a few batches are kept, for threads that run ahead


class _Cells(ABC):
    """Pictures in cells, named ROW::COLUMN or, in a list, ROW::COLUMN::PLACE; both numbers count from 1."""

    def __init__(self) -> None:
        self._lock = Lock()

    def read(self, name: str) -> bytes:
        row, column, place = _number(name.partition("::")[0]), name.partition("::")[2], None
        try:
            with self._lock:
                columns = self._columns()
                if column not in columns and "::" in column:
                    column, _, last = column.rpartition("::")
                    place = _number(last)
                if column not in columns:
                    raise Absent(f"no column {column!r} in its file")
                cell = self._cell(row, column)
        except (Absent, OSError):
            raise
        except Exception as error:  # each library has its own for damage
            raise ValueError(f"damaged in its file ({str(error)[:100]})") from error
        data = _bytes(cell, place)
        check_size(len(data))
        return data

    @abstractmethod
    def _columns(self) -> Iterable[str]: ...

    @abstractmethod
    def _cell(self, row: int, column: str) -> Any: ...


class Parquet(_Cells):
    """A column is read forward; the last few batches stay, so that rows asked for in order are decoded once."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        super().__init__()
        self._file = pq.ParquetFile(path, buffer_size=2**20)
        meta = self._file.metadata
        self._starts = [0]
        for group in range(meta.num_row_groups):
            self._starts.append(self._starts[-1] + meta.row_group(group).num_rows)
        self._streams: dict[str, tuple[int, Iterator[tuple[int, pa.RecordBatch]]]] = {}
        self._kept: dict[str, deque[tuple[int, pa.RecordBatch]]] = {}

    def _columns(self) -> Iterable[str]:
        return self._file.schema_arrow.names  # type: ignore[no-any-return]

    def _cell(self, row: int, column: str) -> Any:
        kept = self._kept.setdefault(column, deque(maxlen=4))
        found = _holding(row, kept)
        if found is None:
            if not 0 <= row < self._starts[-1]:
                raise Absent("no such row in its file")
            group = bisect_right(self._starts, row) - 1
            if self._streams.get(column, (-1,))[0] != group or (kept and row < kept[-1][0]):
                self._streams[column] = group, self._batches(group, column)
            for start, batch in self._streams[column][1]:
                kept.append((start, batch))
                if found := _holding(row, kept):
                    break
        if found is None:
            raise Absent("no such row in its file")
        start, batch = found
        return batch.column(0)[row - start]

    def _batches(self, group: int, column: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        next(
            self._file.iter_batches(1, [group], use_threads=False), None
        )  # raises at damage that ends the process below
        meta = self._file.metadata.row_group(group)
        leaves = [meta.column(index) for index in range(meta.num_columns)]
        leaves = [leaf for leaf in leaves if leaf.path_in_schema.split(".")[0] == column.split(".")[0]]
        size = sum(leaf.total_uncompressed_size for leaf in leaves)
        rows = max(1, min(1024, BATCH_BYTES * meta.num_rows // max(1, size)))
        start = self._starts[group]
        for batch in self._file.iter_batches(rows, [group], [column], use_threads=False):
            yield start, batch
            start += batch.num_rows


def _holding(row: int, batches: Iterable[tuple[int, pa.RecordBatch]]) -> tuple[int, pa.RecordBatch] | None:
    return next(((start, batch) for start, batch in batches if start <= row < start + batch.num_rows), None)


class Arrow(_Cells):
    """The file is mapped into memory, not read: what `datasets` writes is not compressed."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        super().__init__()
        source = pa.memory_map(str(path))
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        self._names: list[str] = reader.schema.names
        self._batches: list[pa.RecordBatch] = []
        self._starts = [0]
        for batch in map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader:
            self._batches.append(batch)
            self._starts.append(self._starts[-1] + batch.num_rows)
        self._sound: set[tuple[int, str]] = set()  # columns of batches that were proved

    def _columns(self) -> Iterable[str]:
        return self._names

    def _cell(self, row: int, column: str) -> Any:
        if not 0 <= row < self._starts[-1]:
            raise Absent("no such row in its file")
        number = bisect_right(self._starts, row) - 1
        array = self._batches[number].column(column)
        if (number, column) not in self._sound:
            array.validate(full=True)  # else offsets that lie would be followed out of the file
            self._sound.add((number, column))
        return array[row - self._starts[number]]


class Hdf5(_Cells):
    """A picture as pixels (height, width, channels) is given as PNG; one as bytes as it is."""

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError:
            raise ValueError("reading HDF5 needs `pip install mlim[hdf5]`") from None

        super().__init__()
        self._file = h5py.File(path, "r", locking=False)

    def _columns(self) -> Iterable[str]:
        return list(self._file)

    def _cell(self, row: int, column: str) -> Any:
        import h5py

        if not isinstance(self._file.get(column, getlink=True), h5py.HardLink):
            raise ValueError("a link out of its file")
        data = self._file[column]
        if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external or not data.shape:
            raise ValueError("no plain dataset in its file")
        if not 0 <= row < data.shape[0]:
            raise Absent("no such row in its file")
        check_size(data.dtype.itemsize * _product(data.shape[1:]))
        check_size(data.dtype.itemsize * _product(data.chunks or ()))
        return data[row]


def _number(text: str) -> int:
    """A row or place, from 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise Absent(f"{text!r} is no number of a row")
    return int(text) - 1


def _product(shape: Iterable[int]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product


def _bytes(cell: Any, place: int | None) -> bytes:
    """The picture of an Arrow value or of a row of HDF5."""
    if hasattr(cell, "as_py"):
        if place is not None:
            if not cell.is_valid or not 0 <= place < len(cell):
                raise Absent("no such picture in its list")
            cell = cell[place]
        value = cell.as_py()
        value = value.get("bytes") if isinstance(value, dict) else value
    else:
        value = _png(cell) if getattr(cell, "ndim", 0) >= 2 else bytes(cell)
    if not isinstance(value, bytes):
        raise Absent("no bytes in its cell")
    return value


def _png(pixels: Any) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()
