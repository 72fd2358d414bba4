"""The Split stage: each listing's part, so that listings which are kin never lie in two.

    split.parquet      row, part (train | valid | test | null), component (its smallest row), reason (why part is null)
    certificate.json   how many pairs of kin could cross the split, that none does, and of what this was made
    summary.json       counts

Kin are listings of one product group, with one GTIN, or alike (see the Duplicates stage). A component is all that is
connected by kinship; it lies in one part as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Artifact
from workbench.catalog.ingest import read_items
from workbench.catalog.parts import Part, part_of
from workbench.recipe.schema import Duplicates, Split

__all__ = ("Part", "part_of", "read_listings", "stage")
LARGE = 0.2  # share of the listings in one component that is worth a warning


def stage(split: Split, duplicates: Duplicates) -> Stage:
    """The stage; it reads no file of its own. What kinds of kin join is a choice of `duplicates`."""
    actions = duplicates.model_dump(mode="json")
    section = {"catalog": {"split": split.model_dump(mode="json")}, "duplicates": actions}
    return Stage("split", 2, section, lambda work: _run(work, split, actions), ("ingest", "images", "duplicates"))


def read_listings(inputs: Mapping[str, Artifact]) -> pl.DataFrame:
    """The listings of ingest ordered by row, with their `part` of the split; null for one left out of it."""
    parts = pl.read_parquet(inputs["split"].path("split.parquet"), columns=["part"])
    return read_items(inputs["ingest"].folder).hstack(parts)


def _run(work: Work, split: Split, actions: Mapping[str, str]) -> dict[str, Any]:
    from workbench.catalog.certificate import certificate
    from workbench.catalog.kinship import Kinship
    from workbench.catalog.parts import place

    names = pl.col("row", "id", "group", "code", "given_split", "^label\\..*$")  # texts are most of a catalog
    items = pl.scan_parquet(work.inputs["ingest"].path("items.parquet")).select(names).collect()
    kinship = Kinship(items, work.inputs["duplicates"], actions)
    table, told = place(items, kinship, split)
    table.write_parquet(work.folder / "split.parquet")
    found = certificate(work.inputs, items, kinship, table, split) | told
    (work.folder / "certificate.json").write_text(json.dumps(found, indent=1, ensure_ascii=False))
    for warning in _warnings(found, kinship):
        work.warn(f"warning: {warning}")
    listings = items.select("group").hstack(table)
    parts = listings.filter(pl.col("part").is_not_null()).group_by("group").agg(pl.col("part").unique())
    summary = {
        "listings_by_part": found["parts"],
        "groups_by_part": _counts(parts.explode("part")["part"]),
        "groups_in_two_parts": parts.filter(pl.col("part").list.len() > 1).height,
        "left_out": found["left_out"],
        "components": found["components"],
        "largest": found["largest"],
        "could_cross": found["could_cross"],
        "cross": found["cross"],
    }
    (work.folder / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary


def _warnings(found: Mapping[str, Any], kinship: Any) -> list[str]:
    warnings = []
    if found["largest"] > LARGE * found["listings"] and found["largest"] > 1:
        joined = ", ".join(f"{n} pairs of {kind}" for kind, n in kinship.of_largest().items())
        warnings.append(
            f"one component holds {found['largest']} of {found['listings']} listings and lies in one part as a whole; "
            f"it is joined by {joined}. Give catalog.feeds.columns.group or code the right column, or set a kind of "
            "duplicates to ignore"
        )
    off = {part: found["shares"][part]["found"] - found["shares"][part]["wanted"] for part in found["shares"]}
    part, worst = max(off.items(), key=lambda pair: abs(pair[1]))
    if abs(worst) > 0.07 and found["components"] >= 100 and not found["given"]:
        warnings.append(
            f"{part} has {worst:+.1%} of the listings more than its share: components are few or large; "
            "another catalog.split.seed splits otherwise"
        )
    if found["given"].get("leaks"):
        warnings.append(
            f"the feed's own split leaks: {found['given']['leaks']} components of kin lie in two of its parts; "
            f"catalog.split.conflict: {found['given']['conflict']}"
        )
    if unknown := found["given"].get("unknown"):
        word, _ = max(unknown.items(), key=lambda pair: pair[1])
        warnings.append(
            f"the feed's own split names no part for {sum(unknown.values())} listings, for example {word!r}; they are "
            "split as if it said nothing. Expected train, valid or test"
        )
    return warnings


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.drop_nulls().value_counts().iter_rows()))
