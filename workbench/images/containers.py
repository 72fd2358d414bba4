"""Pictures within a file that holds more: zip, tar, Parquet, Arrow, HDF5; read in place, from several threads."""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
import zipfile
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from workbench.images.names import SUBFOLDERS, Absent, Names, candidates, inside

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 512 * 2**20
BATCH_BYTES = 8 * 2**20  # of Parquet that is read at once; a few batches are kept, for threads that run ahead


class Container(Protocol):
    def read(self, name: str) -> bytes:
        """The bytes of a picture. Raises Absent when there is none, OSError or ValueError when it can't be read."""


def open_container(path: Path) -> Container:
    """Open a file by what its first bytes say it is. Raises OSError, ValueError, TarError or BadZipFile for others."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1"):
        return _Parquet(path)
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return _Arrow(path)
    if head.startswith(b"\x89HDF"):
        return _Hdf5(path)
    return Zip(path) if zipfile.is_zipfile(path) else Tar(path)


class _Archive:
    """Members by their names, and by names like them."""

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        tops = {name.partition("/")[0] for name in members if not name.startswith("__MACOSX")}
        folders = {name.rpartition("/")[0] for name in members}
        self._folders = [folder for folder in SUBFOLDERS if any(name.startswith(f"{folder}/") for name in folders)]
        if len(tops) == 1:  # everything was packed within one folder
            self._folders += tops
        self._names = Names(lambda: members)

    def find(self, name: str) -> Any:
        name = inside(name)
        for candidate in candidates(name, self._folders):
            if (member := self._members.get(candidate)) is not None:
                return member
        for candidate in candidates(name, self._folders):
            with suppress(Absent):
                return self._members[self._names.like(candidate)]
        return self._members[self._names.like(name)]  # raises Absent, with its reason


class Zip(_Archive):
    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)  # its reads are serialised by a lock of its own
        super().__init__({_member_name(member): member for member in self._zip.infolist() if not member.is_dir()})

    def read(self, name: str) -> bytes:
        member = self.find(name)
        check_size(member.file_size)
        try:
            return self._zip.read(member)
        except RuntimeError:
            raise ValueError("encrypted in its archive") from None
        except Exception as error:  # BadZipFile, EOFError, zlib.error, lzma.LZMAError …: one for each damage and method
            raise ValueError("damaged in its archive") from error


def _member_name(member: zipfile.ZipInfo) -> str:
    """Many packers write UTF-8 and don't mark it so; zipfile then reads the code page of MS-DOS."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return posixpath.normpath(name.replace("\\", "/"))


class Tar(_Archive):
    def __init__(self, path: Path) -> None:
        members: dict[str, tuple[int, int]] = {}  # name -> offset and bytes
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = posixpath.normpath(member.name)
                if member.isreg() and not member.issparse():
                    members[name] = (member.offset_data, member.size)
                elif member.islnk() and (target := members.get(posixpath.normpath(member.linkname))):
                    members[name] = target
                tar.members = []  # type: ignore[attr-defined]  # else each is held twice
        self._file = path.open("rb")
        super().__init__(members)

    def read(self, name: str) -> bytes:
        offset, size = self.find(name)
        check_size(size)
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) < size:
            raise ValueError("cut off at the end of its archive")
        return data


class _Cells:
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

    def _columns(self) -> Iterable[str]:
        raise NotImplementedError

    def _cell(self, row: int, column: str) -> Any:
        raise NotImplementedError


class _Parquet(_Cells):
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


class _Arrow(_Cells):
    """The file is mapped into memory, not read: what `datasets` writes is not compressed."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        super().__init__()
        source = pa.memory_map(str(path))
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        self._schema_of = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        self._batches: list[pa.RecordBatch] = []
        self._starts = [0]
        batches = (self._schema_of.get_batch(i) for i in range(self._schema_of.num_record_batches)) if is_file else None
        for batch in batches or self._schema_of:
            self._batches.append(batch)
            self._starts.append(self._starts[-1] + batch.num_rows)
        self._whole: set[tuple[int, str]] = set()

    def _columns(self) -> Iterable[str]:
        return self._schema_of.schema.names  # type: ignore[no-any-return]

    def _cell(self, row: int, column: str) -> Any:
        if not 0 <= row < self._starts[-1]:
            raise Absent("no such row in its file")
        number = bisect_right(self._starts, row) - 1
        array = self._batches[number].column(column)
        if (number, column) not in self._whole:
            array.validate(full=True)  # else offsets that lie would be followed out of the file
            self._whole.add((number, column))
        return array[row - self._starts[number]]


class _Hdf5(_Cells):
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


def check_size(size: int) -> None:
    """Several are in memory at once, and an archive may claim anything."""
    if size > MOST_BYTES:
        raise ValueError(f"a file of {size / 2**20:,.0f} MiB; a picture's may have {MOST_BYTES / 2**20:,.0f}")
