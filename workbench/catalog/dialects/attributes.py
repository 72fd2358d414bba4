"""Attributes that feeds write as names and values: option columns, lists in a cell -> a column for each attribute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from workbench.catalog.dialects.dialect import FURTHER, Dialect, Named
from workbench.catalog.dialects.escapes import PAIRS
from workbench.catalog.dialects.group import CHOSEN, OTHER_LANGUAGE, Rows
from workbench.catalog.dialects.words import filled, folded, matching

_MOST = 24  # attributes that get a column of their own
_PAIR = pl.List(pl.Struct({"name": pl.String, "value": pl.String}))
_BETWEEN, _COMMA = "\x1f", "\x1e"  # of values; one that is escaped


def attributes_of(cells: pl.DataFrame, dialect: Dialect, rows: Rows) -> pl.DataFrame:
    """row, head, weight, name, key (the name, folded), value: one line for each value of each raw row, in their order.

    A name that only one row of a product gives is that of its other rows too.
    """
    placed = cells.with_columns(
        pl.Series("\0head", rows.head, pl.UInt32), pl.Series("\0weight", rows.weight, pl.UInt8)
    ).with_row_index("\0row")
    parts = [part for parts in (_named, _listed, _single) for part in parts(placed, dialect)]
    kinds = {"\0row": pl.UInt32, "\0head": pl.UInt32, "\0weight": pl.UInt8, "name": pl.String, "value": pl.String}
    found = pl.concat([pl.DataFrame(schema=kinds), *parts]).with_columns(pl.col("name", "value").str.strip_chars())
    said = (
        (pl.col("name") != "") & (pl.col("value") != "") & ~pl.col("value").str.starts_with("gid://")
    )  # a reference says nothing
    found = found.filter(said, pl.col("\0weight") != OTHER_LANGUAGE)
    names = found["name"].unique().to_list()
    keys = {name: folded(name) for name in set(names).difference(matching(dialect.internal, names))}
    found = found.filter(pl.col("name").is_in(list(keys)))
    return found.with_columns(key=pl.col("name").replace_strict(keys, return_dtype=pl.String)).sort(
        "\0head", "\0weight", "\0row", maintain_order=True
    )


def _part(placed: pl.DataFrame, name: pl.Expr, value: pl.Expr) -> pl.DataFrame:
    return placed.select("\0row", "\0head", "\0weight", name.alias("name"), value.alias("value"))


def _named(placed: pl.DataFrame, dialect: Dialect) -> Iterator[pl.DataFrame]:
    """Attributes in two columns."""
    for named in dialect.attributes:
        for name in matching([named.name], placed.columns):
            numbers = re.findall(r"\d+", folded(name))
            values = matching([filled(named.value, numbers[-1]) if numbers else named.value], placed.columns)
            for value in values[:1]:
                known = pl.coalesce(name, pl.col(name).drop_nulls().first().over("\0head"))
                part = _part(placed, known, pl.col(value)).drop_nulls()
                yield _pieces(part, named) if named.split else part


def _pieces(part: pl.DataFrame, named: Named) -> pl.DataFrame:
    """`Size|Stone` and `6|Ruby` are two attributes each."""
    part = part.with_columns(pl.col("name", "value").str.split(named.split))
    both = pl.min_horizontal(pl.col("name", "value").list.len())
    part = part.with_columns(pl.col("name", "value").list.head(both)).explode("name", "value")
    cut = pl.col("name", "value").str.split(named.cut).list.first()
    return part.with_columns(cut) if named.cut else part


def _listed(placed: pl.DataFrame, dialect: Dialect) -> Iterator[pl.DataFrame]:
    """Attributes in one cell, by a grammar."""
    for word, grammar in dialect.pairs.items():
        for column in matching([word], placed.columns):
            cells = placed[column].drop_nulls().unique()
            pairs = [[{"name": n, "value": v} for n, v in PAIRS[grammar](cell)] for cell in cells]
            read = pl.DataFrame({column: cells, "pair": pl.Series(pairs, dtype=_PAIR)})
            each = placed.join(read, on=column, maintain_order="left").explode("pair")
            yield _part(each, pl.col("pair").struct.field("name"), pl.col("pair").struct.field("value")).drop_nulls()


def _single(placed: pl.DataFrame, dialect: Dialect) -> Iterator[pl.DataFrame]:
    """Columns that are an attribute each."""
    internal = matching(dialect.internal, placed.columns)
    for column in (c for c in matching(dialect.attribute_columns, placed.columns) if c not in internal):
        yield _part(placed, pl.lit(column.split("(")[0]), pl.col(column)).drop_nulls()


def merged(found: pl.DataFrame) -> pl.DataFrame:
    """head, key, name, value: each product's attributes, its head's values before those that its variants add.

    What the row in the language asked for says stands in place of what the others say.
    """
    chosen = found.filter(pl.col("\0weight") == CHOSEN).select("\0head", "key").unique()
    other = found.filter(pl.col("\0weight") != CHOSEN).join(chosen, on=["\0head", "key"], how="anti")
    found = pl.concat([found.filter(pl.col("\0weight") == CHOSEN), other])
    found = found.sort("\0head", "\0weight", "\0row", maintain_order=True)
    value = pl.col("value").str.replace_all("\\,", _COMMA, literal=True).str.replace_all(r"[,;]\s+", _BETWEEN)
    found = found.with_columns(value.str.split(_BETWEEN)).explode("value")
    found = found.with_columns(pl.col("value").str.replace_all(_COMMA, ",", literal=True).str.strip_chars())
    found = found.filter(pl.col("value") != "").with_columns(same=pl.col("value").str.to_lowercase())
    found = found.unique(["\0head", "key", "same"], keep="first", maintain_order=True)
    return found.group_by("\0head", "key", maintain_order=True).agg(
        pl.col("name").first(), pl.col("value").str.join(", ")
    )


def named_columns(found: pl.DataFrame, header: Sequence[str]) -> dict[str, str]:
    """Derived column -> folded name, for the most frequent attributes in the order they are met."""
    names = found.sort("\0row", maintain_order=True).group_by("key", maintain_order=True)
    often = names.agg(pl.col("name").first(), rows=pl.col("\0row").n_unique())
    often = often.with_row_index("met").sort("rows", descending=True, maintain_order=True).head(_MOST).sort("met")
    taken = {folded(word) for word in header}
    return {
        f"{name} (attribute)" if key in taken else name: key for key, name in often.select("key", "name").iter_rows()
    }


def columns(attributes: pl.DataFrame, heads: Sequence[int], wanted: Mapping[str, str]) -> pl.DataFrame:
    """A column for each wanted attribute, and `further attributes` for the others; a row for each head."""
    table = pl.DataFrame({"\0head": pl.Series(heads, dtype=pl.UInt32)})
    for column, key in wanted.items():
        own = attributes.filter(pl.col("key") == key).select("\0head", pl.col("value").alias(column))
        table = table.join(own, on="\0head", how="left", maintain_order="left")
    others = attributes.filter(~pl.col("key").is_in(list(wanted.values())))
    said = pl.format("{}: {}", "name", "value").str.join("; ").alias(FURTHER)
    others = others.group_by("\0head", maintain_order=True).agg(said)
    return table.join(others, on="\0head", how="left", maintain_order="left").drop("\0head")
