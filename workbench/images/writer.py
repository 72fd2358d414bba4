"""Shards are written picture after picture; the index of all is made of their pieces."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.images.earlier import Earlier, Place
from workbench.images.line import Entry
from workbench.images.shard import ENTRY, INDEX, SCHEMA, shard_name

GROUP = 1 << 16  # lines of a row group of the index
_HEAD = {name: SCHEMA[name] for name in ("row", "order", "length")}


class ShardWriter:
    """Writes one shard, and the piece of the index that tells it is complete."""

    def __init__(self, folder: Path, shard: int, earlier: Earlier) -> None:
        self._path = folder / shard_name(shard)
        self._aside = self._path.with_suffix(".tmp")
        self._file = self._aside.open("wb")
        self._shard, self._earlier = shard, earlier
        self._made: list[tuple[object, ...]] = []
        self._kept: list[tuple[int, int, int, Place]] = []
        self._run = (0, 0, 0)  # shard, start and end of kept pictures that are to be written

    def add(self, row: int, order: int, entry: Entry, encoded: bytes) -> None:
        """A picture, or why there is none: `encoded` is empty unless the state is present."""
        self._made.append((row, order, len(encoded), *vars(entry).values()))
        self._write_run()
        self._file.write(encoded)

    def keep(self, row: int, order: int, place: Place) -> None:
        """A picture as the earlier artifact has it."""
        shard, start, length = self._earlier.where(place)
        self._kept.append((row, order, length, place))
        if self._run[::2] != (shard, start):
            self._write_run()
            self._run = shard, start, start
        self._run = shard, self._run[1], start + length

    def _write_run(self) -> None:
        """What lies side by side in the earlier artifact is written at once."""
        if self._run[1] < self._run[2]:
            self._earlier.copy(*self._run, self._file)
            self._run = 0, 0, 0

    def close(self) -> None:
        self._write_run()
        self._file.close()
        self._aside.replace(self._path)
        piece = piece_of(self._path)
        aside = piece.with_suffix(".tmp")
        self._index().write_parquet(aside, compression="uncompressed")  # until it is joined
        aside.replace(piece)

    def _index(self) -> pl.DataFrame:
        made = pl.DataFrame(self._made, _HEAD | {name: SCHEMA[name] for name in ENTRY}, orient="row")
        kept = pl.DataFrame(self._kept, _HEAD | {"place": pl.UInt32}, orient="row")
        kept = kept.drop("place").hstack(self._earlier.entries(kept["place"]))
        lines = pl.concat([made, kept]).sort("row", "order").with_columns(shard=pl.lit(self._shard))
        lines = lines.with_columns(offset=pl.col("length").cast(pl.UInt64).cum_sum() - pl.col("length"))
        stored = pl.when(pl.col("state") == "present").then(pl.col("shard", "offset", "length"))
        return lines.with_columns(stored).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def piece_of(shard: Path) -> Path:
    return shard.with_suffix(".parquet")


def join_index(folder: Path, pieces: list[Path]) -> None:
    """Make the index of its pieces, in bounded memory: the file is there wholly or not at all."""
    aside = (folder / INDEX).with_suffix(".tmp")
    if pieces:
        pl.scan_parquet(pieces).sink_parquet(aside, row_group_size=GROUP, maintain_order=True)
    else:
        pl.DataFrame(schema=SCHEMA).write_parquet(aside)
    aside.replace(folder / INDEX)
