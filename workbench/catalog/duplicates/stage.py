"""The Duplicates stage: which listings are alike, which pictures are placeholders, which one of a cluster is kept.

pairs.parquet       left, right (rows, left < right), kind, score (0 to 1): listings of different product groups
clusters.parquet    row, cluster (its smallest row), keep
pictures.parquet    row, order, state (present | absent | broken | placeholder), reason: final
picture_keys.parquet, text_keys.parquet    thing (by content: a picture, a set of words), keys
picture_pairs.parquet, text_pairs.parquet  left, right (things), of pictures view, fit, score of the nearest: what next
                    week's run need not search again
summary.json        counts
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Duplicates

KINDS = ("same listing", "near listing", "same text", "near text", "same picture", "near picture")


def stage(duplicates: Duplicates) -> Stage:
    """The stage; it reads no file of its own."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.catalog.duplicates.find import find  # scipy

        return find(work, duplicates)

    return Stage("duplicates", 5, {"duplicates": duplicates.model_dump(mode="json")}, run, ("ingest", "images"))
