"""What an earlier artifact holds of pictures that have not changed: of the same bytes nothing is decoded again."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import BinaryIO, NewType

import polars as pl

from workbench.artifacts.store import Artifact
from workbench.images.shard import ENTRY, INDEX, SCHEMA, shard_name

Place = NewType("Place", int)  # of a picture in `Earlier`


class Earlier:
    """The present pictures of an earlier artifact, by the digest of their source, 1.6 KB of memory each. Broken ones
    are tried again: what reads them may have been installed since."""

    def __init__(self, artifact: Artifact | None, verifier: Executor | None) -> None:
        """Shards are verified beside the use of those before them. Raises ArtifactError where the index has changed."""
        self._lines = pl.DataFrame(schema=SCHEMA)
        if artifact is not None:
            artifact.verify(INDEX)
            present = pl.scan_parquet(artifact.path(INDEX)).filter(pl.col("state") == "present")
            self._lines = present.collect()
        self._places = dict(zip(self._lines["sha256"], map(Place, range(len(self._lines))), strict=True))
        self._where = self._lines.select("shard", "offset", "length").cast(pl.Int64).to_numpy()
        shards = self._lines["shard"].unique().sort() if artifact else ()
        self._paths = {s: artifact.path(shard_name(s)) for s in shards if artifact}
        self._verified = {s: verifier.submit(artifact.verify, shard_name(s)) for s in shards if artifact and verifier}

    def __len__(self) -> int:
        return len(self._places)

    def find(self, sha256: str) -> Place | None:
        """Where the picture is that was made of the bytes of this digest."""
        return self._places.get(sha256)

    def where(self, place: Place) -> tuple[int, int, int]:
        """Shard, offset and length of the encoded picture."""
        shard, offset, length = self._where[place].tolist()
        return shard, offset, length

    def copy(self, shard: int, start: int, end: int, out: BinaryIO) -> None:
        """Append encoded pictures that lie side by side. Raises ArtifactError where the shard has changed."""
        self._verified[shard].result()
        out.flush()
        with self._paths[shard].open("rb") as source:
            while start < end:
                start += os.sendfile(out.fileno(), source.fileno(), start, end - start)

    def entries(self, places: pl.Series) -> pl.DataFrame:
        """What the index says of the pictures at these places, but for where they are stored; columns as `ENTRY`."""
        return self._lines.select(ENTRY)[places]
