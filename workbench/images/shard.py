"""The shard format: encoded square pictures, found by row.

    shard-00000.bin …   pictures one after another, those of `shard_pictures` listings a file
    index.parquet       a line for each picture: row, order (0: the main one), state, reason, shard, offset, length;
                        of the source sha256, width and height (pixels); phash, thumb and colours (phash.py)
    shards.json         side (pixels, the most) and encoding of every picture

A picture's state is "present", "absent" (no picture is named, or there is none of that name) or "broken". Every row has
a line: one that names no picture an absent one. A present picture has a reason where it is of a single colour.
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
    "order": pl.UInt32,
    "state": pl.String,
    "reason": pl.String,
    "shard": pl.UInt32,
    "offset": pl.UInt64,
    "length": pl.UInt32,
    "sha256": pl.String,
    "width": pl.UInt32,
    "height": pl.UInt32,
    "phash": pl.UInt64,
    "thumb": pl.Binary,
    "colours": pl.Binary,
}
ENTRY = ("state", "reason", "sha256", "width", "height", "phash", "thumb", "colours")  # of Entry


def shard_name(shard: int) -> str:
    return f"shard-{shard:05d}.bin"


@dataclass(frozen=True)
class Entry:
    """What is known of one picture."""

    state: str
    reason: str | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    phash: int | None = None
    thumb: bytes | None = None
    colours: bytes | None = None


class Shards:
    """A memory-mapped reader, by row and number of the picture; safe to use from several threads."""

    def __init__(self, folder: Path, states: Path | None = None) -> None:
        """`states`: a table (row, order, state) of what was found out later, as that a picture is a placeholder; one
        of another state than "present" counts as none."""
        form = json.loads((folder / FORMAT).read_text())
        self.side: int = form["side"]
        self.encoding: str = form["encoding"]
        index = pl.read_parquet(folder / INDEX, columns=["row", "order", "state", "shard", "offset", "length"])
        index = index.sort("row", "order")
        if states is not None:
            later = pl.read_parquet(states, columns=["row", "order", "state"])
            index = index.join(later, on=["row", "order"], how="left", maintain_order="left")
            index = index.with_columns(pl.coalesce("state_right", "state").alias("state"))
        present = index.filter(pl.col("state") == "present")
        rows = index["row"].max()
        self.counts = np.bincount(present["row"].to_numpy(), minlength=0 if rows is None else int(rows) + 1)  # type: ignore[arg-type]
        self.usable = self.counts > 0  # (N,) bool
        main = index.unique("row", keep="first", maintain_order=True)["state"].to_numpy()
        self.states = np.where(self.usable, "present", main)  # (N,) str: of the main picture, where none is usable
        self._first = np.cumsum(self.counts) - self.counts  # of each row, among the present pictures
        self._place = present.select("shard", "offset", "length").cast(pl.Int64).to_numpy()
        self._maps = {s: np.memmap(folder / shard_name(s), mode="r") for s in present["shard"].unique().sort()}

    def __len__(self) -> int:
        return len(self.counts)

    def count(self, row: int) -> int:
        """How many usable pictures a row has."""
        return int(self.counts[row])

    def bytes(self, row: int, k: int = 0) -> memoryview:
        """The k-th encoded picture of a usable row, by default the first; KeyError where there is none."""
        if not 0 <= k < self.counts[row]:
            raise KeyError(f"row {row} has {self.counts[row]} usable pictures; number {k} was asked for")
        shard, offset, length = self._place[self._first[row] + k].tolist()
        return self._maps[shard].data[offset : offset + length]
