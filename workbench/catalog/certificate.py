"""The split certificate: which pairs of kin could cross the split, and that none does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from workbench.artifacts.store import Artifact
from workbench.catalog.kinship import Kinship
from workbench.catalog.parts import PARTS
from workbench.recipe.schema import Split


def certificate(
    inputs: Mapping[str, Artifact], items: pl.DataFrame, kinship: Kinship, table: pl.DataFrame, split: Split
) -> dict[str, Any]:
    """What certificate.json says, but for a given split; a pair with a listing left out can't cross."""
    sizes = np.bincount(kinship.component, minlength=1)
    kin = kinship.crossing(table["part"])
    placed = table["part"].drop_nulls()
    parts = {part: int((placed == part).sum()) for part in PARTS}
    reasons = table["reason"].drop_nulls().str.replace(r"^(duplicate) of .*", "$1").str.replace(r"^the feed.*", "leak")
    found = {
        "listings": table.height,
        "parts": parts,
        "shares": {
            part: {"wanted": getattr(split, part), "found": round(parts[part] / max(len(placed), 1), 4)}
            for part in PARTS
        },
        "left_out": dict(sorted(reasons.value_counts().iter_rows())),
        "components": int((sizes > 0).sum()),
        "largest": int(sizes.max()),
        "could_cross": sum(kind["pairs"] for kind in kin.values()),
        "cross": sum(kind["cross"] for kind in kin.values()),
        "kin": kin,
        "seed": split.seed,
        "inputs": {
            f"{stage}/{name}": inputs[stage].files[name]["sha256"]
            for stage, name in (
                ("ingest", "items.parquet"),
                ("images", "index.parquet"),
                ("duplicates", "pairs.parquet"),
                ("duplicates", "clusters.parquet"),
            )
        },
    }
    if split.stratify is not None:
        found["stratify"] = _by_class(items[f"label.{split.stratify}"], table["part"])
    return found


def _by_class(label: pl.Series, part: pl.Series) -> dict[str, dict[str, int]]:
    counts = pl.DataFrame({"label": label.fill_null(""), "part": part}).drop_nulls().group_by("label", "part").len()
    classes: dict[str, dict[str, int]] = {}
    for name, place, n in counts.sort("label", "part").iter_rows():
        classes.setdefault(name, dict.fromkeys(PARTS, 0))[place] = n
    return classes
