"""The distinct pictures of a catalog, which of them are near-duplicates, and who shows them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.store import Artifact
from workbench.catalog.duplicates.clusters import components
from workbench.catalog.duplicates.pictures import AT_ONCE, likely_pairs, score_pairs
from workbench.catalog.duplicates.placeholders import is_plain

SIDE = 32
ONE_LOOK = 0.95  # score of near-duplicates that differ in size and compression, hardly more
COMPARED = {"left": pl.UInt64, "right": pl.UInt64, "view": pl.UInt8, "score": pl.Float64}
Ints = NDArray[np.int64]


class Looks:
    """Pictures by number, in the order of their SHA-256; a look is a picture with its nearest duplicates."""

    near: pl.DataFrame  # left, right (pictures, left < right), score
    compared: pl.DataFrame  # as in signatures.parquet
    shown: pl.DataFrame  # row, order, picture, look (smallest picture of its near-duplicates), plain

    def __init__(self, index: Path, earlier: Artifact | None, seed: int = 0) -> None:
        self._states = pl.read_parquet(index, columns=["row", "order", "state", "reason"]).sort("row", "order")
        present = pl.scan_parquet(index).filter(pl.col("state") == "present")
        first = present.select("sha256", "thumb").unique("sha256", keep="first").sort("sha256").collect()
        thumbs = np.frombuffer(b"".join(first["thumb"]), np.uint8).reshape(-1, SIDE, SIDE)
        self.count = len(first)
        heads = first["sha256"].str.head(16).str.to_integer(base=16, dtype=pl.UInt64)
        self.near, self.compared = _compare(thumbs, heads, earlier, seed)
        alike = self.near.filter(pl.col("score") >= ONE_LOOK)
        label = components(self.count, *(alike[side].to_numpy().astype(np.int64) for side in ("left", "right")))
        pictures = pl.DataFrame({"sha256": first["sha256"], "look": label.astype(np.uint32), "plain": is_plain(thumbs)})
        lines = present.select("row", "order", "sha256").collect()
        self.shown = (
            lines.join(pictures.with_row_index("picture"), on="sha256", how="left").drop("sha256").sort("row", "order")
        )

    def states(self, blank: pl.DataFrame) -> pl.DataFrame:
        """row, order, state, reason of every picture, those of the looks in `blank` being placeholders."""
        why = pl.format("the same picture on {} listings of {} unrelated product groups", "listings", "groups")
        found = self.shown.join(blank.with_columns(why.alias("why")), on="look").select("row", "order", "why")
        joined = self._states.join(found, on=["row", "order"], how="left", maintain_order="left")
        return joined.select(
            "row",
            "order",
            pl.when(pl.col("why").is_null()).then("state").otherwise(pl.lit("placeholder")).alias("state"),
            pl.coalesce("why", "reason").alias("reason"),
        )

    def without(self, blank: pl.DataFrame) -> pl.DataFrame:
        """`shown` without the placeholders."""
        return self.shown.join(blank, on="look", how="anti", maintain_order="left")


def _compare(
    thumbs: NDArray[np.uint8], heads: pl.Series, earlier: Artifact | None, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Near-duplicates, and all comparisons made; those that an earlier run made are taken over."""
    left, right, view = likely_pairs(thumbs, seed)
    pairs = pl.DataFrame({"left": heads.gather(left), "right": heads.gather(right), "view": view.astype(np.uint8)})
    known = pl.DataFrame(schema=COMPARED)
    if earlier is not None:
        earlier.verify()
        known = pl.read_parquet(earlier.path("signatures.parquet"))
    scores = (
        pairs.join(known, on=["left", "right", "view"], how="left", maintain_order="left")["score"].to_numpy().copy()
    )
    new = np.flatnonzero(np.isnan(scores))
    pieces = [new[start : start + AT_ONCE] for start in range(0, len(new), AT_ONCE)]

    def score(some: Ints) -> NDArray[np.float64]:
        return score_pairs(thumbs, left[some], right[some], view[some])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for some, found_scores in zip(pieces, pool.map(score, pieces), strict=True):
            scores[some] = found_scores
    near = scores > 0
    found = {"left": left[near].astype(np.uint32), "right": right[near].astype(np.uint32), "score": scores[near]}
    return pl.DataFrame(found), pairs.with_columns(pl.Series("score", scores, pl.Float64))
