"""What an earlier artifact holds of pictures that have not changed: of the same bytes nothing is decoded again."""

from __future__ import annotations

import numpy as np
import polars as pl

from workbench.artifacts.store import Artifact
from workbench.errors import ArtifactError
from workbench.images.shard import INDEX, Entry, shard_name

KEPT = ("state", "reason", "sha256", "width", "height", "phash", "thumb", "colours", "shard", "offset", "length")


class Earlier:
    """The present pictures of an earlier artifact, by the digest of their source, 1.4 KB of memory each. Broken ones
    are tried again: what reads them may have been installed since."""

    def __init__(self, artifact: Artifact | None) -> None:
        """Raises ArtifactError where the artifact's bytes have changed."""
        self._lines = pl.DataFrame(schema=dict.fromkeys(KEPT, pl.String))
        if artifact is not None:
            artifact.verify()
            present = pl.scan_parquet(artifact.path(INDEX)).filter(pl.col("state") == "present").select(KEPT)
            self._lines = present.unique("sha256").sort("sha256").collect()
        self._keys = np.array([_key(digest) for digest in self._lines["sha256"]], np.uint64)
        shards = self._lines["shard"].unique()
        self._maps = {s: np.memmap(artifact.path(shard_name(s)), mode="r") for s in shards if artifact}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, sha256: str) -> tuple[Entry, memoryview] | None:
        """The entry and the encoded picture made of the bytes of this digest."""
        place = int(self._keys.searchsorted(_key(sha256)))
        if place == len(self._keys):
            return None
        *entry, shard, offset, length = self._lines.row(place)
        if entry[2] != sha256:
            return None
        return Entry(*entry), self._maps[shard].data[offset : offset + length]


def _key(sha256: str) -> np.uint64:
    return np.uint64(int(sha256[:16], 16))


def open_earlier(artifact: Artifact | None) -> Earlier:
    """As `Earlier`, of nothing where the artifact is damaged: the pictures are then made again."""
    try:
        return Earlier(artifact)
    except ArtifactError:
        return Earlier(None)
