"""Proof of the split from the data: kin are found again, by other hashes, and none may lie in two parts.

Nothing is taken from pairs.parquet: groups and GTINs are read again from the items, pictures' bytes from the index, and
near-duplicates are searched anew. No search by hashes finds every near-duplicate; so what the second finds that the
first did not is told, and the split holds as long as of a hundred such pairs no more than two cross it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from workbench.artifacts.store import Artifact
from workbench.catalog.ingest import read_items
from workbench.catalog.parts import PARTS
from workbench.recipe.schema import Duplicates

OTHER = 1  # seed of the second search
MISSED = 0.02  # of the near-duplicates of the second search may cross the split


@dataclass(frozen=True)
class Verdict:
    """What a proof found."""

    holds: bool
    lines: tuple[str, ...]


def prove(artifacts: Mapping[str, Artifact]) -> Verdict:
    """Prove the split of these artifacts (ingest, images, duplicates, split) from the data again."""
    from workbench.catalog.codes import valid_codes
    from workbench.catalog.duplicates.find import alike

    ingest, images, split = (artifacts[name] for name in ("ingest", "images", "split"))
    wrong = list(_changed(artifacts))
    items = read_items(ingest.folder)
    table = pl.read_parquet(split.folder / "split.parquet")
    certificate = json.loads((split.folder / "certificate.json").read_text())
    if table.height != items.height or not table["row"].equals(items["row"]):
        return Verdict(False, (*wrong, f"split.parquet has {table.height} rows, the catalog {items.height} listings"))
    part = table["part"]
    if not part.drop_nulls().is_in(list(PARTS)).all():
        wrong.append("split.parquet names a part that is none of train, valid and test")
    unreasoned = table.filter(pl.col("part").is_null() & pl.col("reason").is_null()).height
    wrong += [f"{unreasoned} listings are in no part for no reason"] if unreasoned else []

    section = split.ingredients["section"]["duplicates"]
    rules = Duplicates.model_validate(section)
    found = alike(items, images.path("index.parquet"), rules, seed=OTHER)
    shown = found.looks.shown.join(found.states.filter(pl.col("state") == "present"), on=["row", "order"], how="semi")
    keys = {"product group": (items["row"], items["group"]), "code": (items["row"], valid_codes(items["code"]))}
    if rules.same_picture != "ignore":
        keys["same picture"] = (shown["row"], shown["picture"])
    lines = []
    for kind, (rows, values) in keys.items():
        pairs, cross = _by_key(part.gather(rows), values)
        lines.append(f"{kind}: {pairs} pairs, {cross} cross the split")
        wrong += [f"{cross} pairs of {kind} cross the split"] if cross else []
    for (kind,), some in found.pairs.sort("kind").group_by("kind", maintain_order=True):
        if section[str(kind).replace(" ", "_")] == "ignore" or kind in keys:
            continue
        left, right = part.gather(some["left"]), part.gather(some["right"])
        cross, pairs = int((left != right).sum()), some.height
        lines.append(f"{kind}, searched anew: {pairs} pairs, {cross} cross the split")
        if cross > (MISSED * pairs if str(kind).startswith("near") else 0):
            wrong.append(f"{cross} of {pairs} pairs of {kind} cross the split")
    if certificate["cross"]:
        wrong.append(f"certificate.json itself tells of {certificate['cross']} pairs that cross the split")
    sizes = ", ".join(f"{name} {(part == name).sum()}" for name in PARTS)
    lines.append(
        f"{sizes}, left out {part.null_count()}: {'the split holds' if not wrong else 'THE SPLIT DOES NOT HOLD'}"
    )
    return Verdict(not wrong, (*lines, *wrong))


def _changed(artifacts: Mapping[str, Artifact]) -> list[str]:
    """Files that are not what was written, or not what the certificate was made of."""
    changed = []
    inputs = json.loads((artifacts["split"].folder / "certificate.json").read_text())["inputs"]
    known = {("split", name): record["sha256"] for name, record in artifacts["split"].files.items()}
    known |= {tuple(name.split("/", 1)): digest for name, digest in inputs.items()}
    for (stage, name), digest in sorted(known.items()):
        with (artifacts[stage].folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                changed.append(f"{stage}: {name} is not what the split was made of, or was changed since")
    return changed


def _by_key(part: pl.Series, values: pl.Series) -> tuple[int, int]:
    """Pairs of listings with one value that have a part, and how many of them lie in two."""
    inside = pl.DataFrame({"value": values, "part": part}).drop_nulls().group_by("value", "part").len()
    size = pl.col("len").cast(pl.Int64)
    pairs = pl.col("len").cast(pl.Int64) * (size - 1) // 2
    every = inside.group_by("value").agg(size.sum().alias("len")).select(pairs.sum()).item()
    return every, every - inside.select(pairs.sum()).item()
