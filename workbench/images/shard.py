"""The shard format: encoded square pictures, found by row.

    shard-00000.bin …   pictures one after another, those of `shard_pictures` listings a file
    index.parquet       a line for each picture: row, order (0: the main one), state, reason; where its bytes are
                        (shard, offset, length), their crc32 and the side of the square they hold (pixels); of the
                        source sha256, width and height (pixels); phash, thumb and colours (phash.py)
    shards.json         side (pixels, the most) and encoding of every picture: jpeg, png, or raw, which is the rows of
                        the square from its top, each pixel as red, green, blue

A picture's state is "present", "absent" (no picture is named, or there is none of that name) or "broken". Every row has
a line: one that names no picture an absent one. A present picture has a reason where it is of a single colour.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from workbench.errors import ArtifactError
from workbench.images.line import checksum

INDEX = "index.parquet"
FORMAT = "shards.json"
SCHEMA = {
    "row": pl.UInt32,
    "order": pl.UInt32,
    "state": pl.String,
    "reason": pl.String,
    "shard": pl.UInt32,
    "offset": pl.UInt64,
    "length": pl.UInt32,
    "crc32": pl.UInt32,
    "side": pl.UInt16,
    "sha256": pl.String,
    "width": pl.UInt32,
    "height": pl.UInt32,
    "phash": pl.UInt64,
    "thumb": pl.Binary,
    "colours": pl.Binary,
}
ENTRY = ("state", "reason", "crc32", "side", "sha256", "width", "height", "phash", "thumb", "colours")  # of Entry
STATE = pl.Enum(["present", "absent", "broken", "placeholder"])
PLACE = [("shard", np.uint32), ("offset", np.uint64), ("length", np.uint32), ("crc32", np.uint32), ("side", np.uint16)]
MAPPED = 1 << 14  # shards at once, of the 65,530 mappings that Linux allows a process


def shard_name(shard: int) -> str:
    return f"shard-{shard:05d}.bin"


class Files(Protocol):
    """Where the shards of an artifact are read from; asked by several threads."""

    def shard(self, number: int) -> memoryview:
        """The bytes of a whole shard file. Raises ArtifactError where it can't be had."""

    def want(self, numbers: Sequence[int]) -> None:
        """These shards are asked for soon, in this order."""


class Stored(Protocol):
    """Encoded squares by row, as a decoder reads them; see `Shards`."""

    @property
    def encoding(self) -> str: ...

    @property
    def usable(self) -> NDArray[np.bool_]: ...

    @property
    def counts(self) -> NDArray[np.integer]: ...

    def sides(self, rows: NDArray[np.integer], picks: NDArray[np.integer] | None = None) -> NDArray[np.uint16]: ...

    def bytes(self, row: int, k: int = 0) -> bytes | memoryview: ...


class Local:
    """Shards of a folder, mapped into memory: no file stays open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.shard = lru_cache(MAPPED)(self._mapped)

    def _mapped(self, number: int) -> memoryview:
        path = self._folder / shard_name(number)
        try:
            with pa.memory_map(str(path)) as file:
                return memoryview(file.read_buffer()).cast("B")  # which keeps the mapping when the file is closed
        except OSError as error:
            raise ArtifactError(f"{path}: can't be read ({error}); delete {self._folder} and run again") from None

    def want(self, numbers: Sequence[int]) -> None:
        pass


class Shards:
    """A reader by row and number of the picture, of 40 bytes of memory a listing; safe to use from several threads."""

    def __init__(self, folder: Path, states: Path | None = None, files: Files | None = None) -> None:
        """`states`: a table (row, order, state) of what was found out later of lines of the index, as that a picture is
        a placeholder; one of another state than "present" counts as none. `files`: by default the folder's."""
        form = json.loads((folder / FORMAT).read_text())
        self.side: int = form["side"]
        self.encoding: str = form["encoding"]
        self._folder, self._files = folder, files or Local(folder)
        lines = _lines(folder / INDEX, states)
        main = lines["state"].filter(lines["row"].ne_missing(lines["row"].shift()))
        lines = lines.filter(pl.col("state") == "present")
        self.counts = np.bincount(lines["row"].to_numpy(), minlength=len(main)).astype(np.int32)  # (N,) usable pictures
        self.usable = self.counts > 0  # (N,) bool
        self.states = main.set(pl.Series(self.usable), "present")  # (N,) Enum: of the main picture where none is usable
        self._first = np.cumsum(self.counts) - self.counts  # of each row, among the present pictures
        self._places = np.empty(len(lines), PLACE)
        for name, _ in PLACE:
            self._places[name] = lines[name]

    def __len__(self) -> int:
        return len(self.counts)

    def count(self, row: int) -> int:
        """How many usable pictures a row has."""
        return int(self.counts[row])

    def sides(self, rows: NDArray[np.integer], picks: NDArray[np.integer] | None = None) -> NDArray[np.uint16]:
        """Pixels (B,): the side of the square of each row's picture `picks` (the first), 0 where there is none."""
        sides = np.zeros(len(rows), np.uint16)
        usable = self.usable[rows]
        sides[usable] = self._placed(rows[usable], None if picks is None else picks[usable])["side"]
        return sides

    def want(self, rows: NDArray[np.integer], picks: NDArray[np.integer] | None = None) -> None:
        """Say that these pictures are asked for soon, in this order, so that their shards are at hand by then."""
        usable = self.usable[rows]
        shards = self._placed(rows[usable], None if picks is None else picks[usable])["shard"]
        self._files.want(list(dict.fromkeys(shards.tolist())))

    def bytes(self, row: int, k: int = 0) -> memoryview:
        """The k-th encoded picture of a usable row, by default the first; KeyError where there is none.

        Raises ArtifactError where the bytes are not those that were written.
        """
        if not 0 <= k < self.counts[row]:
            raise KeyError(f"row {row} has {self.counts[row]} usable pictures; number {k} was asked for")
        shard, offset, length, written, _ = self._places[self._first[row] + k].item()
        data = self._files.shard(shard)[offset : offset + length]
        if len(data) != length or checksum(data) != written:
            raise ArtifactError(
                f"{self._folder / shard_name(shard)}: picture {k} of row {row} is not as it was written (its checksum "
                f"differs); delete {self._folder} and run again"
            )
        return data

    def image(self, row: int, k: int = 0) -> Image.Image:
        """That picture decoded: RGB."""
        data = self.bytes(row, k)
        if self.encoding == "raw":
            side = math.isqrt(len(data) // 3)
            return Image.frombytes("RGB", (side, side), data)
        image = Image.open(io.BytesIO(data))
        image.load()
        return image

    def _placed(self, rows: NDArray[np.integer], picks: NDArray[np.integer] | None) -> NDArray[np.void]:
        return self._places[self._first[rows] + (0 if picks is None else picks)]  # type: ignore[no-any-return]


def _lines(index: Path, states: Path | None) -> pl.DataFrame:
    """The index in its order, by row and order of the pictures, with their final states."""
    lines = _read(index, *(name for name, _ in PLACE))
    if states is None:
        return lines
    later = _read(states).filter(pl.col("state") != "present")
    places = np.searchsorted(_keys(lines), _keys(later))  # a join would take six times as long
    return lines.with_columns(lines["state"].scatter(places, later["state"]))


def _read(table: Path, *columns: str) -> pl.DataFrame:
    read = pl.scan_parquet(table).select("row", "order", pl.col("state").cast(STATE), *columns)
    return read.collect(engine="streaming")


def _keys(lines: pl.DataFrame) -> NDArray[np.uint64]:
    """(N,) ascending."""
    return (lines["row"].cast(pl.UInt64) * 2**32 + lines["order"]).to_numpy()
