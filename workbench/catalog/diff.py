"""What differs between two states of a catalog: products that came, went, changed or moved to another part."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workbench.artifacts.store import Artifact, Store

WHATS = ("came", "went", "changed", "moved")
_OUR_OWN = ("row", "feed", "picture", "given_split")  # numbers of ours; `pictures` says more than `picture`


@dataclass(frozen=True)
class State:
    """One state of a catalog: its ingest artifact and what later stages made of it, if they did."""

    ingest: Artifact
    images: Artifact | None
    split: Artifact | None

    @classmethod
    def of(cls, ingest: Artifact, store: Store) -> State:
        """With the newest images and split that were made of this very ingest artifact."""

        def newest(stage: str) -> Artifact | None:
            made = (a for a in reversed(store.all_of(stage)) if a.ingredients["inputs"].get("ingest") == ingest.key)
            return next(made, None)

        return cls(ingest, newest("images"), newest("split"))


def diff(before: State, after: State) -> pl.DataFrame:
    """(what, id, column, before, after): a line for each product that came or went, with its title, for each cell that
    changed, and for each product whose part of the split is another.

    Parts, and the bytes of pictures, are compared where both states know them.
    """
    old, new = _cells(before).rename({"cell": "before"}), _cells(after).rename({"cell": "after"})
    unknown = {"part"} if not (before.split and after.split) else set()
    unknown |= {"bytes of pictures"} if not (before.images and after.images) else set()
    cells = old.join(new, on=["id", "column"], how="full", coalesce=True)
    cells = cells.filter(pl.col("before").ne_missing(pl.col("after")), ~pl.col("column").is_in(unknown))
    is_title = pl.col("column") == "title"
    what = (
        pl.when(~pl.col("id").is_in(old["id"].unique().implode()))
        .then(pl.lit("came"))
        .when(~pl.col("id").is_in(new["id"].unique().implode()))
        .then(pl.lit("went"))
        .when(pl.col("column") == "part")
        .then(pl.lit("moved"))
        .otherwise(pl.lit("changed"))
    )
    told = cells.select(what.alias("what"), "id", "column", "before", "after")
    return told.filter(is_title | pl.col("what").is_in(["changed", "moved"])).sort(
        pl.col("what").replace_strict(WHATS, range(len(WHATS))), "id", "column"
    )


def _cells(state: State) -> pl.DataFrame:
    """(id, column, cell) of every cell that isn't empty; a listing without a title has an empty one."""
    items = pl.read_parquet(state.ingest.path("items.parquet")).with_columns(pl.col("title").fill_null(""))
    named = pl.read_parquet(state.ingest.path("pictures.parquet"))
    tables = [named.sort("row", "order").group_by("row").agg(pl.col("name").str.join(", ").alias("pictures"))]
    if state.images:
        index = pl.read_parquet(state.images.path("index.parquet"), columns=["row", "order", "sha256"])
        digests = index.sort("row", "order").group_by("row").agg(pl.col("sha256").str.join(", "))
        tables.append(digests.rename({"sha256": "bytes of pictures"}))
    if state.split:
        tables.append(pl.read_parquet(state.split.path("split.parquet"), columns=["row", "part"]))
    for table in tables:
        items = items.join(table, on="row", how="left")
    texts = items.drop(_OUR_OWN, strict=False).cast(pl.String)
    return texts.unpivot(index="id", variable_name="column", value_name="cell").drop_nulls("cell")
