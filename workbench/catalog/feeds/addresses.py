"""Pictures whose bytes are in a cell -> their addresses `CONTAINER::ROW::COLUMN`, in a list `…::COLUMN::PLACE`.

Rows and places count from 1. `images/origin.py` finds the bytes again by the address.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

_STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*"),  # JPEG, PNG, GIF, TIFF
    *(b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"),  # JPEG 2000
)
_BRANDS = (b"ftypavif", b"ftypavis", b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypmsf1")  # from byte 4


@dataclass(frozen=True)
class Place:
    """Where the cells of one column are. `held`: the bytes of its pictures are there, and were not read."""

    container: str
    column: str
    rows: pl.Series  # UInt32, from 1
    held: bool = False

    def of(self, row: pl.Expr, *index: pl.Expr) -> pl.Expr:
        return pl.concat_str(pl.lit(self.container), row, pl.lit(self.column), *index, separator="::")

    def name(self, pictures: pl.Series, row: pl.Expr, *index: pl.Expr) -> pl.Expr:
        """Of structs in the column `picture`: the address where bytes are there, else the path."""
        picture = pl.col("picture")
        fields = {field.name for field in pictures.dtype.fields}  # type: ignore[attr-defined]
        path = picture.struct.field("path").cast(pl.String) if "path" in fields else pl.lit(None, pl.String)
        if self.held:
            there = picture.is_not_null()
        elif "bytes" in fields:
            there = picture.struct.field("bytes").is_not_null()
        else:
            there = pl.lit(False)
        return pl.when(there).then(self.of(row, *index)).otherwise(path).alias("name")


def is_picture(kind: Any) -> bool:
    """Whether a type is that of a `datasets` Image: a struct of the picture's bytes and its path."""
    if not isinstance(kind, pl.Struct):
        return False
    fields = {field.name: field.dtype for field in kind.fields}
    return fields.keys() <= {"bytes", "path"} and fields.get("bytes", pl.Binary) in (pl.Binary, pl.Null)


def from_structs(column: pl.Series, place: Place) -> pl.Series:
    frame = pl.DataFrame({"picture": column, "row": place.rows})
    return frame.select(place.name(column, pl.col("row")))["name"]


def from_lists(column: pl.Series, place: Place) -> pl.Series:
    """One picture as its name, several as a JSON list of names."""
    column = column.cast(pl.List(column.dtype.inner))  # type: ignore[attr-defined]
    frame = pl.DataFrame({"picture": column, "row": place.rows})
    each = frame.filter(pl.col("picture").list.len() > 0).explode("picture")
    each = each.with_columns(pl.int_range(1, pl.len() + 1).over("row").alias("place"))
    named = each.select("row", place.name(each["picture"], pl.col("row"), pl.col("place"))).drop_nulls()
    lists = named.group_by("row", maintain_order=True).agg("name")
    texts = [
        found[0] if len(found) == 1 else json.dumps(found, ensure_ascii=False) for found in lists["name"].to_list()
    ]
    lists = lists.select("row", pl.Series("text", texts, pl.String))
    return frame.select("row").join(lists, on="row", how="left", maintain_order="left")["text"]


def from_bytes(column: pl.Series, place: Place) -> pl.Series:
    """Pictures, told by their first bytes, as addresses; bytes that are UTF-8 as text (older writers mark no text)."""
    cell = pl.col("cell")
    begins = [cell.bin.starts_with(start) for start in _STARTS]
    brands = [cell.bin.slice(4, 8) == brand for brand in _BRANDS]
    webp = cell.bin.starts_with(b"RIFF") & (cell.bin.slice(8, 4) == b"WEBP")
    frame = pl.DataFrame({"cell": column, "row": place.rows})
    frame = frame.with_columns(pl.any_horizontal(*begins, *brands, webp).alias("picture"))
    rest = frame.select(pl.when(~pl.col("picture")).then(cell).alias("cell"))["cell"]
    try:
        text = rest.cast(pl.String)
    except pl.exceptions.PolarsError:
        text = pl.Series([_decoded(value) for value in rest], dtype=pl.String)
    frame = frame.with_columns(text.alias("text"))
    return frame.select(pl.when("picture").then(place.of(pl.col("row"))).otherwise("text").alias("text"))["text"]


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
