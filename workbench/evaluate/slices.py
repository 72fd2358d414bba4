"""Measures of some of the listings: of a category, a language, a picture state, a text length, a brand seen or not.

Each listing has one value of each slice; null: it is in none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.evaluate.compare import NOTHING
from workbench.evaluate.intervals import Bools, Floats, estimate

FEW = 10  # items of which a measure tells next to nothing
MOST = 20  # values of one slice that are shown: the largest; the others are one, "others"
BRANDS = ("brand", "vendor", "manufacturer")
LENGTHS = ("short", "medium", "long")
OTHERS = "others"


def slices_of(items: pl.DataFrame, states: Sequence[str], tokens_N: NDArray[Any]) -> pl.DataFrame:
    """(N,) a column for each slice that the catalog has, a line for each listing.

    `items`: the listings with their `part`; `states`: of their main pictures; `tokens_N`: of their texts. The category
    is the label of the fewest classes; lengths are thirds of the train part; a brand is seen if a listing of the train
    part has it.
    """
    trained = items["part"].eq_missing("train")
    columns = {"picture": pl.Series(list(states), dtype=pl.String), "text length": _lengths(tokens_N, trained)}
    classes = {c: items[c].drop_nulls().n_unique() for c in items.columns if c.startswith("label.")}
    if wide := min((c for c in classes if classes[c] > 1), key=lambda c: classes[c], default=None):
        columns = {"category": items[wide].cast(pl.String)} | columns
    if "language" in items.columns and items["language"].n_unique() > 1:
        columns["language"] = items["language"]
    brand = next((c for c in items.columns if c.partition(".")[2].casefold() in BRANDS), None)
    if brand:
        names = items[brand].cast(pl.String).str.strip_chars().str.to_lowercase()
        seen = names.is_in(names.filter(trained).drop_nulls().implode())
        columns["brand"] = seen.replace_strict({True: "seen in training", False: "not seen in training"})
    return pl.DataFrame(columns)


def of_pairs(values: pl.DataFrame, rows_n2: NDArray[np.int64]) -> pl.DataFrame:
    """(n,) the slices of pairs of listings: their value where both have the same, else "mixed"; null where one has
    none."""
    left, right = values[rows_n2[:, 0]], values[rows_n2[:, 1]].select(pl.all().name.suffix(" of right"))
    same = [
        pl.when(pl.col(c) == pl.col(f"{c} of right"))
        .then(pl.col(c))
        .when(pl.col(c) != pl.col(f"{c} of right"))
        .then(pl.lit("mixed"))
        .alias(c)
        for c in values.columns
    ]
    return pl.concat([left, right], how="horizontal").select(same)


def sliced(
    values: pl.DataFrame,
    judge: str,
    measure: Callable[[Bools], Floats],
    undefined: Callable[[Bools], Mapping[str, str]] = lambda _: {},
) -> list[dict[str, Any]]:
    """The judge of each value of each slice, as results.json has it: the largest first.

    `measure`: the (R,) judge of the chosen ones of n items; `undefined`: measure -> the reason where it has none. A
    slice that all items share tells nothing, and is left out.
    """
    found = []
    for by in values.columns:
        named = _largest(values[by])
        counts = named.drop_nulls().value_counts().sort("count", by, descending=[True, False])
        for value in counts[by] if named.n_unique() > 1 else ():
            chosen_n = named.eq_missing(value).to_numpy()
            interval = estimate(measure(chosen_n)).json()
            line: dict[str, Any] = {"by": by, "value": value, "items": int(chosen_n.sum()), judge: interval}
            line |= {} if interval else {"undefined": undefined(chosen_n).get(judge, NOTHING)}
            found.append(line | ({"few": True} if line["items"] < FEW else {}))
    return found


def _lengths(tokens_N: NDArray[Any], trained: pl.Series) -> pl.Series:
    known = tokens_N[trained.to_numpy()]
    thirds = np.quantile(known, [1 / 3, 2 / 3]) if len(known) else np.zeros(2)
    names = np.array(LENGTHS)[np.searchsorted(thirds, tokens_N)]
    return pl.Series(np.where(tokens_N == 0, "no text", names).tolist(), dtype=pl.String)


def _largest(values: pl.Series) -> pl.Series:
    counts = values.drop_nulls().value_counts().sort("count", values.name, descending=[True, False])
    if counts.height <= MOST:
        return values
    kept = pl.col(values.name).is_in(counts[values.name].head(MOST - 1).implode())
    shown = pl.when(kept).then(values.name).when(~kept).then(pl.lit(OTHERS)).alias(values.name)
    return values.to_frame().select(shown).to_series()
