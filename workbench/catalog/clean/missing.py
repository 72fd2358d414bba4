"""Cells that say that there is nothing to say: `N/A`, `-`, `TBD`.

Which ones depends on the column: `NA` is no description, but as a label it may be North America, or what Kaggle's
fashion set writes for use. An id is never missing but for being empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl

from workbench.recipe.schema import Clean

Kind = Literal["title", "text", "label", "group", "code"]  # the last two must not join unrelated products

EVERYWHERE = (
    *("n/a", "n.a.", "n.a", "#n/a", "#n/a n/a", "<na>", "null", "(null)", "<null>", "nan", "none", "nil", "undefined"),
    *("-", "--", "---", "–", "—", "−", ".", "..", "...", "…", "?", "??", "???", "*", "/", "_", "[]", "{}", '""', "''"),
    *("tbd", "t.b.d.", "tba", "not available", "not applicable", "not specified", "no rating available"),
    *("no_selection", "__empty__value__", "__empty__", "default title", "default", "\\n", "[object object]"),
    *("#value!", "#ref!", "#name?", "#div/0!", "k. a.", "k.a.", "keine angabe", "nicht verfügbar", "non disponible"),
    *("no disponible", "sin datos", "なし"),
)
FURTHER: Mapping[Kind, tuple[str, ...]] = {
    "title": ("na", "no title", "untitled", "no name"),
    "text": ("na", "no description", "no description available", "description not available", "description"),
    "label": ("uncategorized", "uncategorised"),
    "group": ("na",),
    "code": ("na", "0", "does not apply", "no code", "no barcode", "no gtin"),
}
_DUMMIES = ("Lorem ipsum", "lorem ipsum", "LOREM IPSUM")  # what a text begins with


def words_for_nothing(kind: Kind, clean: Clean) -> set[str]:
    """The placeholders, in lower case."""
    words = {*EVERYWHERE, *FURTHER[kind], *(word.lower() for word in clean.also_missing)}
    return words - {word.lower() for word in clean.never_missing}


def found_missing(cells: pl.Series, kind: Kind, clean: Clean) -> pl.Series:
    """Mask of the cells that hold a placeholder of such a column; never null. Case is ignored."""
    words = words_for_nothing(kind, clean)
    said = cells.str.len_bytes() <= max((len(word.encode()) for word in words), default=0)
    short = said.arg_true()
    said = said.scatter(short, cells.gather(short).str.to_lowercase().is_in(sorted(words)))
    if kind in ("title", "text"):
        for dummy in _DUMMIES:
            said |= cells.str.starts_with(dummy)
    return said.fill_null(False)
