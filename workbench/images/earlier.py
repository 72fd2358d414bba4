"""What an earlier artifact holds of pictures that have not changed: of the same bytes nothing is decoded again."""

from __future__ import annotations

from typing import NewType

import numpy as np
import polars as pl

from workbench.artifacts.store import Artifact
from workbench.errors import ArtifactError
from workbench.images.shard import ENTRY, INDEX, SCHEMA, shard_name

Place = NewType("Place", int)  # of a picture in `Earlier`


class Earlier:
    """The present pictures of an earlier artifact, by the digest of their source, 1.6 KB of memory each. Broken ones
    are tried again: what reads them may have been installed since."""

    def __init__(self, artifact: Artifact | None) -> None:
        """Raises ArtifactError where the artifact's bytes have changed."""
        self._lines = pl.DataFrame(schema=SCHEMA)
        if artifact is not None:
            artifact.verify()
            present = pl.scan_parquet(artifact.path(INDEX)).filter(pl.col("state") == "present")
            self._lines = present.collect()
        self._places = dict(zip(self._lines["sha256"], map(Place, range(len(self._lines))), strict=True))
        self._where = self._lines.select("shard", "offset", "length").cast(pl.Int64).to_numpy()
        shards = self._lines["shard"].unique()
        self._maps = {s: np.memmap(artifact.path(shard_name(s)), mode="r") for s in shards if artifact}

    def __len__(self) -> int:
        return len(self._places)

    def find(self, sha256: str) -> Place | None:
        """Where the picture is that was made of the bytes of this digest."""
        return self._places.get(sha256)

    def where(self, place: Place) -> tuple[int, int, int]:
        """Shard, offset and length of the encoded picture."""
        shard, offset, length = self._where[place].tolist()
        return shard, offset, length

    def encoded(self, shard: int, start: int, end: int) -> memoryview:
        """One picture after another."""
        return self._maps[shard].data[start:end]

    def entries(self, places: pl.Series) -> pl.DataFrame:
        """What the index says of the pictures at these places, but for where they are stored; columns as `ENTRY`."""
        return self._lines.select(ENTRY)[places]


def open_earlier(artifact: Artifact | None) -> Earlier:
    """As `Earlier`, of nothing where the artifact is damaged: the pictures are then made again."""
    try:
        return Earlier(artifact)
    except ArtifactError:
        return Earlier(None)
