"""GTINs (EAN, UPC, ISBN): which cells hold one, told by length and check digit, in one way of writing."""

from __future__ import annotations

import polars as pl

LENGTHS = (8, 12, 13, 14)


def valid_codes(cells: pl.Series) -> pl.Series:
    """The GTIN-14 of each cell, null where there is none: `0`, `N/A` and codes with a wrong check digit never join.

    Spaces and hyphens are taken out; an ISBN-10 becomes its ISBN-13. A code whose digits are all one (0000000000000) is
    none. Check digit: GS1 General Specifications, 7.9.
    """
    bare = cells.cast(pl.String).str.replace_all(r"[\s\-‐–]", "").str.to_uppercase()
    frame = pl.DataFrame({"bare": bare})
    isbn = pl.col("bare").str.contains(r"^\d{9}[\dX]$") & (_weighed("bare", range(10, 0, -1)) % 11 == 0)
    body = pl.lit("978") + pl.col("bare").str.head(9)
    frame = frame.with_columns(pl.when(isbn).then(body).alias("body"))
    check = (10 - _weighed("body", [1, 3] * 6) % 10) % 10
    frame = frame.with_columns(
        pl.when(isbn).then(pl.col("body") + check.cast(pl.String)).otherwise("bare").alias("digits")
    )
    plain = pl.col("digits").str.contains(r"^\d+$") & pl.col("digits").str.len_bytes().is_in(LENGTHS)
    frame = frame.select(pl.when(plain).then(pl.col("digits").str.zfill(14)).alias("code"))
    good = _weighed("code", [3, 1] * 7) % 10 == 0
    same = pl.col("code").str.contains(r"^0*$|^0*(?:1{8,}|2{8,}|3{8,}|4{8,}|5{8,}|6{8,}|7{8,}|8{8,}|9{8,})$")
    return frame.select(pl.when(good & ~same).then("code").alias("code"))["code"]


def _weighed(column: str, weights: range | list[int]) -> pl.Expr:
    """Sum of the digits times their weights; X counts ten; null where a sign is none."""
    sign = [pl.col(column).str.slice(i, 1) for i in range(len(weights))]
    digit = [pl.when(s == "X").then(10).otherwise(s.cast(pl.Int32, strict=False)) for s in sign]
    return pl.sum_horizontal(d * w for d, w in zip(digit, weights, strict=True))
