"""The pictures of a product from all of its rows: its own in their order, then those of its variants."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import polars as pl

from workbench.catalog.dialects.dialect import VARIANT_PICTURES, Dialect
from workbench.catalog.dialects.pictures import split_pictures
from workbench.catalog.dialects.words import filled, folded, matching
from workbench.recipe.schema import Columns


def galleries(placed: pl.DataFrame, dialect: Dialect, columns: Columns) -> dict[str, pl.Series]:
    """Column -> one cell a product: the column of pictures holds them all, further ones none.

    `placed` are rows in the order in which they count, with head (the product) and own (false: a variant's row).
    """
    own = [w for w in (columns.picture, *columns.pictures) if w in placed.columns and w is not None]
    variant = [w for w in matching(dialect.words.get(VARIANT_PICTURES, ()), placed.columns) if w not in own]
    if not own and not variant:
        return {}
    placed = placed.with_row_index("\0place")
    found = pl.concat([_pictures(placed, w, at, w in variant, dialect) for at, w in enumerate([*own, *variant])])
    found = found.sort("\0own", "rank", "\0place", "at", descending=[True, *[False] * 3], nulls_last=True)
    found = found.unique(["\0head", "name"], keep="first", maintain_order=True)
    heads = placed.select(pl.col("\0head").unique(maintain_order=True))
    cells = {word: pl.Series([None] * heads.height, dtype=pl.String) for word in [*own, *variant]}
    for column, mine in ((own[0] if own else None, True), (VARIANT_PICTURES, False)):
        if column is not None:
            lists = found.filter(pl.col("\0own") == mine).group_by("\0head", maintain_order=True).agg("name")
            cells[column] = as_cell(heads.join(lists, on="\0head", how="left", maintain_order="left")["name"])
    return cells


def _pictures(placed: pl.DataFrame, word: str, at: int, variant: bool, dialect: Dialect) -> pl.DataFrame:
    """head, own, rank, place, at, name: a row for each picture that this column names."""
    return (
        placed.select(
            "\0head",
            pl.col("\0own") & (not variant),
            (pl.lit(None, pl.Float64) if variant else _rank(placed.columns, word, dialect)).alias("rank"),
            "\0place",
            pl.lit(at).alias("at"),
            split_pictures(placed[word]).alias("name"),
        )
        .explode("name")
        .drop_nulls("name")
    )


def _rank(header: Sequence[str], word: str, dialect: Dialect) -> pl.Expr:
    """The number of a picture among its product's; -1 for the one that is said to be first."""
    numbers = re.findall(r"\d+", folded(word))
    words = [filled(order, numbers[-1]) if numbers else order for order in dialect.order]
    cells = [pl.col(w).str.strip_chars().str.to_lowercase() for w in matching(words, header)]
    first = [
        pl.when(c.is_in(["y", "yes", "true"])).then(-1.0).otherwise(c.cast(pl.Float64, strict=False)) for c in cells
    ]
    return pl.min_horizontal(first) if first else pl.lit(None, pl.Float64)


def as_cell(lists: pl.Series) -> pl.Series:
    """A list as a cell: its only entry where that can't be taken for several, else JSON; null for none."""

    def cell(values: list[str]) -> str | None:
        plain = len(values) == 1 and not re.search(r"""[,;|\s\[{"']""", values[0])
        return values[0] if plain else json.dumps(values, ensure_ascii=False)

    return pl.Series(lists.name, [cell(values) if values else None for values in lists.to_list()], pl.String)
