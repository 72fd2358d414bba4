"""Which listings are of one product, by what the recipe says."""

from __future__ import annotations

import polars as pl

from workbench.catalog.codes import valid_codes
from workbench.errors import RecipeError


def products_of(items: pl.DataFrame, by: str, key: str) -> pl.Series:
    """(N,) of each listing a name that those of its product share; null: nothing is known of it.

    `by` is group, code (a GTIN that is valid) or the name of a label; RecipeError naming `key` for any other word.
    """
    if by == "group":
        return items["group"]
    if by == "code":
        return valid_codes(items["code"])
    labels = [name.removeprefix("label.") for name in items.columns if name.startswith("label.")]
    if by not in labels:
        raise RecipeError(f"{key}: found {by!r}; expected one of {', '.join(['group', 'code', *labels])}")
    return items[f"label.{by}"]
