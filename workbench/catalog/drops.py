"""Rows of the feeds that became no listing, each with one reason."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.catalog.dialects.dialect import Products

DROPS = {
    **{"feed": pl.UInt32, "file": pl.String, "line": pl.UInt32, "id": pl.String, "title": pl.String},
    **{"picture": pl.String, "reason": pl.String, "detail": pl.String, "first": pl.UInt32},
}


def dropped(rows: pl.DataFrame, joined: pl.DataFrame) -> pl.DataFrame:
    """Products that are dropped, and after each the rows that are a part of it."""
    heads = rows.select("index", *DROPS)
    part = pl.format("part of the product in line {}", "line").alias("detail")
    parts = joined.select("index", "file", "line").join(
        heads.select("index", "feed", "id", "title", "reason", part), on="index", maintain_order="left", how="inner"
    )
    return pl.concat([heads, parts], how="diagonal").select(*DROPS)


def unread(feed: int, products: Products) -> pl.DataFrame:
    """The rows that the reader could not read."""
    rows = [(feed, products.file, bad.line, None, None, None, bad.reason, bad.detail, None) for bad in products.bad]
    return pl.DataFrame(rows, DROPS, orient="row")


def described(drops: pl.DataFrame, sources: Path) -> pl.DataFrame:
    """Drops for an id that came before say where, as the written `sources.parquet` has it."""
    wanted = drops.select(pl.col("first").drop_nulls().unique())
    heads = pl.scan_parquet(sources).filter(pl.col("role") == "product")
    heads = heads.join(wanted.lazy(), left_on="row", right_on="first")
    file = pl.when(pl.col("file") != "").then(pl.format(", {}", "file")).otherwise(pl.lit(""))
    seen = pl.format("first seen in feed {}{}, line {}", "feed", file, "line").alias("seen")
    told = heads.select(pl.col("row").alias("first"), seen).collect()
    return (
        drops.join(told, on="first", how="left", maintain_order="left")
        .with_columns(pl.coalesce("detail", "seen").alias("detail"))
        .drop("first", "seen")
    )
