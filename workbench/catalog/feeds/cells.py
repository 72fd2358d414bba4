"""Arrow columns -> cells of text. Parquet, Arrow files, `datasets` and SQL meet here, so a value reads alike from all.

A picture whose bytes are in the cell becomes its address (`addresses.py`); other bytes that are no text become null.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.catalog.feeds.addresses import Place, from_bytes, from_lists, from_structs, is_picture
from workbench.catalog.feeds.table import PHRASE, Table, cell_text
from workbench.errors import DataError, MlimError

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 100_000
CHUNK_BYTES = 64 * 2**20  # a chunk ends here too: descriptions may be long


@contextmanager
def damaged(path: object, kind: str, advice: str = "write the file again") -> Iterator[None]:
    """Whatever a library raises on a damaged file is a DataError, Rust's panics too, which are no `Exception`."""
    try:
        yield
    except MlimError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path}: can't be read as {kind} ({reason}); {advice}") from None


def text_cells(
    batch: pa.RecordBatch,
    container: str,
    first: int,
    classes: Mapping[str, list[str]] | None = None,
    held: Collection[str] = (),
) -> pl.DataFrame:
    """The batch as String columns; its first row is row `first` of `container`.

    classes: column -> names of its numbers (`datasets` ClassLabel). held: columns of pictures whose bytes are known to
    be there and were not read.
    """
    rows = pl.int_range(first, first + batch.num_rows, eager=True, dtype=pl.UInt32)
    cells: dict[str, pl.Series] = {}
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        column = _series(array)
        place = Place(container, name, rows, name in held)
        cells[_free(name, cells)] = _text(_named(column, (classes or {}).get(name)), place)
    return pl.DataFrame(cells)


def header(words: Iterable[str]) -> pl.DataFrame:
    """No row under these header words, so that an empty feed still tells them."""
    names: list[str] = []
    for word in words:
        names.append(_free(word, names))
    return pl.DataFrame(schema=dict.fromkeys(names, pl.String))


def chunks(parts: Iterable[pl.DataFrame], read_as: str, file: str = "") -> Iterator[Table]:
    """Parts of text cells -> tables of at most CHUNK_ROWS rows, numbered from 1; at least one, with the header."""
    waiting: list[pl.DataFrame] = []
    first = 1

    def table() -> Table:
        cells = pl.concat(waiting, how="diagonal") if waiting else pl.DataFrame()
        return Table(cells, pl.int_range(first, first + cells.height, eager=True, dtype=pl.UInt32), (), read_as, file)

    for part in parts:
        for piece in part.iter_slices(CHUNK_ROWS) if part.height else (part,):
            rows = sum(len(one) for one in waiting)
            size = sum(one.estimated_size() for one in waiting)
            if rows and (rows + len(piece) > CHUNK_ROWS or size > CHUNK_BYTES):
                yield table()
                first, waiting = first + rows, []
            waiting.append(piece)
    yield table()


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Column -> names of its classes, as `datasets` writes them into the schema's metadata."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: names for name, feature in features.items() if (names := _names(feature))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _names(feature: Any) -> list[str] | None:
    if isinstance(feature, list) and len(feature) == 1:  # how older versions write a list
        return _names(feature[0])
    if feature.get("_type") in ("List", "Sequence", "LargeList"):
        return _names(feature["feature"])
    return [str(name) for name in feature["names"]] if feature.get("_type") == "ClassLabel" else None


def _series(array: pa.Array) -> pl.Series:
    import pyarrow as pa

    if isinstance(array.type, pa.BaseExtensionType) and array.type.extension_name != "arrow.uuid":
        array = array.storage
    if _is_odd(array.type):
        return pl.Series([cell_text(_plain(value)) for value in array.to_pylist()], dtype=pl.String)
    return pl.Series(array)


def _is_odd(kind: pa.DataType) -> bool:
    """A type that polars has not and would panic at."""
    import pyarrow as pa
    from pyarrow import types

    odd = (types.is_decimal256, types.is_union, types.is_interval, types.is_map, types.is_run_end_encoded)
    inner = [kind.field(index) for index in range(kind.num_fields)]
    "".join(field.name for field in inner)  # raises where one is no text
    is_odd = isinstance(kind, pa.BaseExtensionType) or any(test(kind) for test in odd)
    return is_odd or any(_is_odd(field.type) for field in inner)


def _free(name: str, taken: Collection[str]) -> str:
    """A header word that repeats gets a number, one that is empty its position."""
    word = name.strip() or f"column {len(taken) + 1}"
    free, copy = word, 1
    while free in taken:
        copy += 1
        free = f"{word} ({copy})"
    return free


def _named(column: pl.Series, names: list[str] | None) -> pl.Series:
    """Numbers of classes as their names; a number that has none (-1 is usual in test parts) stays."""
    kind = column.dtype
    if names is None or not (kind.is_integer() or (isinstance(kind, pl.List) and kind.inner.is_integer())):
        return column
    numbers = list(range(len(names)))
    if kind.is_integer():
        return column.cast(pl.String).replace([str(n) for n in numbers], names) if names else column
    return column.cast(pl.List(pl.String)).list.eval(pl.element().replace([str(n) for n in numbers], names))


def _text(column: pl.Series, place: Place) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, (pl.List, pl.Array)):
        if is_picture(kind.inner):
            return from_lists(column, place)
        if kind == pl.List(pl.String):
            phrases = column.list.eval(pl.element().str.contains(PHRASE)).list.any()
            by_line, by_comma = (column.list.join(sign, ignore_nulls=True) for sign in ("\n", ", "))
            return by_line.zip_with(phrases.fill_null(False), by_comma)
    if is_picture(kind):
        return from_structs(column, place)
    if kind == pl.Binary:
        return from_bytes(column, place)
    if isinstance(kind, (pl.Datetime, pl.Date)):
        return _times(column)
    if not kind.is_nested() and kind != pl.Duration:
        return column.cast(pl.String)
    return pl.Series(column.name, [cell_text(_plain(value)) for value in column.to_list()], pl.String)


def _times(column: pl.Series) -> pl.Series:
    """A time that no calendar has, such as PostgreSQL's infinity, as its number: polars would panic at it."""
    kind = column.dtype
    a_day = 86_400 * {"ms": 10**3, "us": 10**6, "ns": 10**9}[kind.time_unit] if isinstance(kind, pl.Datetime) else 1
    number = column.to_physical()
    fits = (number // a_day).is_between(-719_000, 2_932_000)  # years 1 to 9997
    return number.cast(pl.String).zip_with(~fits, column.zip_with(fits, pl.Series([None], dtype=kind)).cast(pl.String))


def _plain(value: Any) -> Any:
    """The value without bytes, which are no text."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and all(isinstance(inner, tuple) for inner in value):  # a map
        return _plain(dict(value))
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, (bytes, bytearray)) else value
