"""Every dialect, and which one a header speaks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from workbench.catalog.dialects.datasets import DATASETS
from workbench.catalog.dialects.dialect import Dialect, Named
from workbench.catalog.dialects.shops import SHOPS
from workbench.catalog.dialects.words import matching
from workbench.errors import DataError

PLAIN = Dialect(
    "plain",
    "A table with one row a product; its columns are told by their header words and cells.",
    signs={},
    attributes=(
        Named("attribute # name", "attribute # value*"),
        Named("attribute name #", "attribute value #"),
        Named("option # name", "option # value"),
        Named("property # name", "property # value"),
        Named("feature # name", "feature # value"),
    ),
    pairs=dict.fromkeys(("attributes", "specs", "specification", "specifications", "properties"), "objects"),
    texts=dict.fromkeys(("brand", "vendor", "manufacturer", "category", "categories", "title", "name"), "names"),
)
DIALECTS: tuple[Dialect, ...] = (*SHOPS, *DATASETS, PLAIN)


def recognised(header: Sequence[str]) -> Dialect:
    """The dialect whose signs weigh most in this header; the plain one where none weighs 1."""
    weights = [sum(w for word, w in dialect.signs.items() if matching([word], header)) for dialect in DIALECTS]
    best = max(weights)
    return DIALECTS[weights.index(best)] if best >= 1 else PLAIN


def dialect_named(name: str, key: str = "feed") -> Dialect:
    """DataError, naming the recipe key, for a name that no dialect has."""
    names = [dialect.name for dialect in DIALECTS]
    if name not in names:
        near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"{key}: no format is called {name!r}; {hint}formats: {', '.join(names)}. See docs/feeds.md")
    return DIALECTS[names.index(name)]
