"""The three ways a listing is read: with all it has, by its text alone, by its picture alone.

Scores of held-out parts are kept by part and reading. Where a network is asked for one modality, listings that lack it
keep the other, as `Listings` has it; so what is told of single modalities is measured on listings that have both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.recipe.schema import ModalityDropout

if TYPE_CHECKING:
    from workbench.tasks.catalog import Catalog

READINGS: dict[str, ModalityDropout | None] = {
    "both": None,
    "text": ModalityDropout(text=0, image=1),
    "picture": ModalityDropout(text=1, image=0),
}


def scored(part: str, reading: str) -> str:
    """The name of the scores of a part under a reading: "test", "test.text", "test.picture"."""
    return part if reading == "both" else f"{part}.{reading}"


def has_both(catalog: Catalog, rows_n: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether a listing has a text and a usable picture."""
    both_n: NDArray[np.bool_] = catalog.shards.usable[rows_n] & (catalog.listings.tokens.lengths[rows_n] > 0)
    return both_n
