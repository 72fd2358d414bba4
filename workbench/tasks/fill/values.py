"""The values of an attribute: which of them can be said, and what each listing has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.errors import DataError
from workbench.recipe.schema import Fill
from workbench.text.encode import Encoder
from workbench.text.tokenizer import TextTokenizer

OTHER, MISSING = -1, -2  # a value that is none of those that can be said; none at all
LONGEST = 0.5  # of a text, the most that a value may take to be said word by word


@dataclass(frozen=True)
class Attribute:
    """An attribute that is filled in."""

    name: str
    column: str  # of the items
    marker: int | None  # of its field in the texts; null: the texts don't have it
    values: tuple[str, ...]  # those that can be said, sorted; each as it is mostly written in training
    pieces: tuple[tuple[int, ...], ...]  # token ids of each value, where they are said word by word
    value_N: NDArray[np.int64]  # place among the values, or OTHER, or MISSING
    counts: NDArray[np.int64]  # training listings of each value


def attributes_of(fill: Fill, items: pl.DataFrame, tokenizer: TextTokenizer) -> list[Attribute]:
    """Raises DataError for an attribute that no feed has, or that has less than two values to say."""
    return [_attribute(name, fill, items, tokenizer) for name in dict.fromkeys(fill.attributes)]


def _attribute(name: str, fill: Fill, items: pl.DataFrame, tokenizer: TextTokenizer) -> Attribute:
    words = fill.answer == "words"
    kinds = ("text",) if words else ("text", "label")
    column = next((f"{kind}.{name}" for kind in kinds if f"{kind}.{name}" in items.columns), None)
    if column is None:
        known = [c.partition(".")[2] for c in items.columns if c.startswith(tuple(f"{kind}." for kind in kinds))]
        raise DataError(
            f"finetune.fill.attributes: no feed has an attribute {name!r}; "
            + (f"they have: {', '.join(known)}" if known else "name its column in catalog.feeds.columns.text")
        )
    fewest = 1 if words else fill.fewer_than
    spelt = _spellings(items.filter(pl.col("part").eq_missing("train"))[column]).filter(pl.col("len") >= fewest)
    pieces = _pieces(spelt["value"], tokenizer) if words else ()
    if words:
        short = [0 < len(p) <= LONGEST * tokenizer.max_length for p in pieces]
        spelt, pieces = (
            spelt.filter(pl.Series(short, dtype=pl.Boolean)),
            tuple(p for p, s in zip(pieces, short, strict=True) if s),
        )
    if spelt.height < 2:
        raise DataError(
            f"finetune.fill.attributes: {name!r} has {spelt.height} values of at least {fewest} training listings; "
            "expected two; choose another attribute, or a smaller finetune.fill.fewer_than"
        )
    cells, place = _normal(items[column]), dict(zip(spelt["key"], range(spelt.height), strict=True))
    value_N = cells.replace_strict(place, default=OTHER, return_dtype=pl.Int64).set(cells.is_null(), MISSING)
    marker = tokenizer.marker(name) if column.startswith("text.") else None
    values, counts = tuple(spelt["value"]), spelt["len"].to_numpy().astype(np.int64)
    return Attribute(name, column, marker, values, pieces, value_N.to_numpy(), counts)


def _normal(cells: pl.Series) -> pl.Series:
    """What case and white space don't tell apart; null where there is nothing."""
    spaced = cells.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return spaced.set((spaced == "").fill_null(False), None)


def _spellings(cells: pl.Series) -> pl.DataFrame:
    """key, value: how it is mostly written, len: how often; sorted by value."""
    written = pl.DataFrame({"key": _normal(cells), "value": cells.str.replace_all(r"\s+", " ").str.strip_chars()})
    each = written.drop_nulls().group_by("key", "value").len().sort("len", "value", descending=[True, False])
    values = each.group_by("key", maintain_order=True).agg(pl.col("value").first(), pl.col("len").sum())
    return values.sort("value", "key")


def _pieces(values: pl.Series, tokenizer: TextTokenizer) -> tuple[tuple[int, ...], ...]:
    ids, counts = Encoder(tokenizer).texts(values) if len(values) else (np.empty(0, np.int64), np.empty(0, np.int64))
    return tuple(tuple(part.tolist()) for part in np.split(ids, np.cumsum(counts)[:-1])) if len(values) else ()


def told_of(attributes: Sequence[Attribute]) -> dict[str, dict[str, object]]:
    """What answers.json says of each, but for what the valid part tells."""
    return {
        a.name: {"values": list(a.values), "marker": a.marker, "pieces": [list(p) for p in a.pieces]}
        for a in attributes
    }
