"""The Split stage: each listing's part, so that listings which belong together never lie in two.

split.parquet    row, part (train | valid | test | null), component (its smallest row), reason (why part is null)
summary.json     counts
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import polars as pl

from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Artifact
from workbench.catalog.ingest import read_items
from workbench.recipe.schema import Split

Part = Literal["train", "valid", "test"]


def stage(split: Split) -> Stage:
    """The stage; it reads no file of its own."""
    section = {"catalog": {"split": split.model_dump(mode="json")}}
    return Stage("split", 1, section, lambda work: _run(work, split), ("ingest",))


def read_listings(inputs: Mapping[str, Artifact]) -> pl.DataFrame:
    """The listings of ingest ordered by row, with their `part` of the split; null for one left out of it."""
    parts = pl.read_parquet(inputs["split"].path("split.parquet"), columns=["part"])
    return read_items(inputs["ingest"].folder).hstack(parts)


def part_of(group: str, split: Split) -> Part:
    """The part of a group: a hash of seed and name gives a point in [0, 1), the shares cut that line in order."""
    digest = blake2b(f"{split.seed}\0{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    point = (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: exact as a float, so never rounded up to 1
    if point < split.train:
        return "train"
    # Against what is left for test, not train + valid: three shares may miss 1 by their rounding.
    return "test" if point >= 1 - split.test else "valid"


def _run(work: Work, split: Split) -> dict[str, Any]:
    items = read_items(work.inputs["ingest"].folder).select("row", "group")
    groups = items["group"].unique(maintain_order=True)
    parts = pl.DataFrame({"group": groups, "part": [part_of(group, split) for group in groups]})
    placed = items.join(parts, on="group", how="left", maintain_order="left")
    table = placed.select(
        "row", "part", pl.col("row").min().over("group").alias("component"), pl.lit(None, pl.String).alias("reason")
    )
    _write(work.folder, table)
    summary = {
        "listings_by_part": _counts(table["part"]),
        "groups_by_part": _counts(parts["part"]),
        "groups_in_two_parts": placed.group_by("group")
        .agg(pl.col("part").n_unique())
        .filter(pl.col("part") > 1)
        .height,
    }
    (work.folder / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.drop_nulls().value_counts().iter_rows()))


def _write(folder: Path, table: pl.DataFrame) -> None:
    table.rechunk().write_parquet(folder / "split.parquet")
