"""The shard format: encoded square pictures, found by row.

    shard-00000.bin …   pictures one after another, `shard_pictures` rows a file
    index.parquet       row, state, reason, shard, offset, length; sha256, width and height of the source picture
    shards.json         side (pixels) and encoding of every picture

A row's state is "present", "absent" (no picture is named, or there is none of that name) or "broken".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

INDEX = "index.parquet"
FORMAT = "shards.json"
SCHEMA = {
    "row": pl.UInt32,
    "state": pl.String,
    "reason": pl.String,
    "shard": pl.UInt32,
    "offset": pl.UInt64,
    "length": pl.UInt32,
    "sha256": pl.String,
    "width": pl.UInt32,
    "height": pl.UInt32,
}


def shard_name(shard: int) -> str:
    return f"shard-{shard:05d}.bin"


@dataclass(frozen=True)
class Entry:
    """What is known of one row's picture; `encoded` is empty unless the state is present."""

    state: str
    reason: str | None = None
    encoded: bytes = b""
    sha256: str | None = None
    width: int | None = None
    height: int | None = None


class ShardWriter:
    """Writes one shard, row after row, and the piece of the index that tells it is complete."""

    def __init__(self, folder: Path, shard: int, first_row: int) -> None:
        self._path = folder / shard_name(shard)
        self._aside = self._path.with_suffix(".tmp")
        self._file = self._aside.open("wb")
        self._shard, self._row, self._offset = shard, first_row, 0
        self._lines: list[tuple[object, ...]] = []

    def add(self, e: Entry) -> None:
        place = (self._shard, self._offset, len(e.encoded)) if e.state == "present" else (None, None, None)
        self._lines.append((self._row, e.state, e.reason, *place, e.sha256, e.width, e.height))
        self._file.write(e.encoded)
        self._offset += len(e.encoded)
        self._row += 1

    def close(self) -> None:
        self._file.close()
        self._aside.replace(self._path)
        write_parquet(pl.DataFrame(self._lines, SCHEMA, orient="row"), piece_of(self._path))


def piece_of(shard: Path) -> Path:
    return shard.with_suffix(".parquet")


def write_parquet(table: pl.DataFrame, path: Path) -> None:
    """Write aside, then rename: the file is there wholly or not at all."""
    aside = path.with_suffix(".tmp")
    table.write_parquet(aside)
    aside.replace(path)


class Shards:
    """A memory-mapped reader; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        form = json.loads((folder / FORMAT).read_text())
        self.side: int = form["side"]
        self.encoding: str = form["encoding"]
        index = pl.read_parquet(folder / INDEX)
        self.states = index["state"].to_numpy()
        self.usable = self.states == "present"
        self._place = index.select("shard", "offset", "length").fill_null(0).cast(pl.Int64).to_numpy()
        self._maps = {s: np.memmap(folder / shard_name(s), mode="r") for s in set(index["shard"].drop_nulls())}

    def __len__(self) -> int:
        return len(self.states)

    def bytes(self, row: int) -> memoryview:
        """The encoded picture of a usable row; KeyError for another."""
        if not self.usable[row]:
            raise KeyError(f"row {row} has no usable picture: {self.states[row]}")
        shard, offset, length = self._place[row].tolist()
        return self._maps[shard].data[offset : offset + length]
