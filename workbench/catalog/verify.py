"""Proof of the split from the data: no two listings that belong together lie in two parts.

Three ways, none of which trusts the search for duplicates. What is equal (product group, GTIN, picture, text) is
counted again over the whole catalog. Every pair of pairs.parquet is compared again. And some listings, drawn at
random, are compared with all others without any hashing: what is clearly a duplicate there must not cross the split;
what is so by a narrow margin is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from workbench.artifacts.store import Artifact, digests_of
from workbench.catalog.ingest import read_items
from workbench.catalog.parts import PARTS
from workbench.recipe.schema import Duplicates

STAGES = ("ingest", "images", "duplicates", "split")
TABLES = (".parquet", ".json", ".csv")
SAMPLE = 500  # listings compared with all
CLEAR = {"near listing": 0.9, "near text": 0.8, "near picture": 0.93}  # least score of what must not cross


@dataclass(frozen=True)
class Verdict:
    """What a proof found."""

    holds: bool
    lines: tuple[str, ...]


def prove(artifacts: Mapping[str, Artifact]) -> Verdict:
    """Prove the split of these artifacts (ingest, images, duplicates, split) from the data again."""
    changed = _changed(artifacts)
    try:
        return _proof(artifacts, changed)
    except (Exception, pl.exceptions.PanicException):
        if not changed:
            raise
        return Verdict(False, ("the split can't be proven from damaged files: IT DOES NOT HOLD", *changed))


def _proof(artifacts: Mapping[str, Artifact], changed: list[str]) -> Verdict:
    wrong = list(changed)
    items = read_items(artifacts["ingest"].folder)
    table = pl.read_parquet(artifacts["split"].folder / "split.parquet")
    if table.height != items.height or not table["row"].equals(items["row"]):
        return Verdict(False, (*wrong, f"split.parquet has {table.height} rows, the catalog {items.height} listings"))
    part = table["part"]
    if not part.drop_nulls().is_in(list(PARTS)).all():
        wrong.append("split.parquet names a part that is none of train, valid and test")
    unreasoned = table.filter(pl.col("part").is_null() & pl.col("reason").is_null()).height
    wrong += [f"{unreasoned} listings are in no part for no reason"] if unreasoned else []
    certificate = json.loads((artifacts["split"].folder / "certificate.json").read_text())
    if certificate["cross"]:
        wrong.append(f"certificate.json itself tells of {certificate['cross']} pairs that cross the split")
    lines = []
    for said, fails in _looked_at(artifacts, items, part, int(certificate["seed"])):
        lines.append(said)
        wrong += [said] if fails else []
    sizes = ", ".join(f"{name} {(part == name).sum()}" for name in PARTS)
    held = "the split holds" if not wrong else "THE SPLIT DOES NOT HOLD"
    return Verdict(not wrong, (*lines, f"{sizes}, left out {part.null_count()}: {held}", *wrong))


def _looked_at(
    artifacts: Mapping[str, Artifact], items: pl.DataFrame, part: pl.Series, seed: int
) -> Iterator[tuple[str, bool]]:
    """What was compared, in words, and whether it breaks the split."""
    from workbench.catalog.duplicates.brute import brute, confirmed  # scipy
    from workbench.catalog.duplicates.find import described
    from workbench.catalog.duplicates.looks import distinct

    rules = Duplicates.model_validate(artifacts["split"].ingredients["section"]["duplicates"])
    joins = [kind for kind, action in rules if action in ("join", "keep one")]
    with ThreadPoolExecutor(1) as beside:
        seen = beside.submit(distinct, artifacts["images"].folder / "index.parquet")
        facts, texts = described(items)
        digests, thumbs, colours = seen.result()
    shown = _shown(artifacts, digests)
    data = facts, texts, shown, thumbs, colours
    enough = pl.Series(texts.words @ texts.nats >= texts.telling)
    keys = {"product group": (facts["row"], facts["group"]), "code": (facts["row"], facts["code"])}
    if "same_text" in joins:
        keys["same text"] = facts["row"].filter(enough), facts["text"].filter(enough)
    if "same_picture" in joins:
        keys["same picture"] = shown["row"], shown["picture"]
    for kind, (rows, values) in keys.items():
        pairs, cross = _by_key(part.gather(rows), values)
        yield f"{cross} of {pairs} pairs of {kind} cross the split", cross > 0

    told = pl.read_parquet(artifacts["duplicates"].folder / "pairs.parquet")
    told = told.filter(pl.col("kind").str.replace(" ", "_").is_in(joins))
    cross, false = _crossing(told, part).height, told.height - confirmed(told, *data).height
    yield f"{cross} of {told.height} pairs of pairs.parquet cross the split", cross > 0
    yield f"{false} of {told.height} pairs of pairs.parquet are not alike", false > 0

    sample = np.random.Generator(np.random.Philox(key=[seed, len(items)])).permutation(len(items))[:SAMPLE]
    found = brute(np.sort(sample), *data)
    kin = found.pairs.filter(pl.col("kind").str.replace(" ", "_").is_in(joins))
    crossing = _crossing(kin, part)
    clear = crossing.filter(pl.col("score") >= pl.col("kind").replace_strict(CLEAR, default=1.0))
    yield (
        f"{len(sample)} listings compared with all ({found.texts} pairs of texts, {found.pictures} of pictures): of "
        f"{kin.height} pairs of duplicates {crossing.height} cross the split, {clear.height} of them clear ones",
        clear.height > 0,
    )
    for left, right, kind, score in crossing.sort("score", descending=True).head(3).iter_rows():
        yield f"  {items['id'][left]} and {items['id'][right]}: {kind}, {score:.2f}", False


def _shown(artifacts: Mapping[str, Artifact], digests: pl.Series) -> pl.DataFrame:
    """row, order, picture, look (the same) of every picture that is no placeholder."""
    index = pl.scan_parquet(artifacts["images"].folder / "index.parquet").select("row", "order", "sha256")
    states = pl.scan_parquet(artifacts["duplicates"].folder / "pictures.parquet").filter(pl.col("state") == "present")
    lines = index.join(states, on=["row", "order"], how="semi").sort("row", "order").collect()
    numbers = pl.DataFrame({"sha256": digests}).with_row_index("picture")
    joined = lines.join(numbers, on="sha256", maintain_order="left")
    return joined.select("row", "order", "picture", look="picture")


def _crossing(pairs: pl.DataFrame, part: pl.Series) -> pl.DataFrame:
    left, right = part.gather(pairs["left"]), part.gather(pairs["right"])
    return pairs.filter((left != right).fill_null(False))


def _changed(artifacts: Mapping[str, Artifact]) -> list[str]:
    """Files that are not what was written, or not what the certificate was made of; pictures' shards aside."""
    known = {
        (stage, name): record["sha256"]
        for stage in STAGES
        for name, record in artifacts[stage].files.items()
        if Path(name).suffix in TABLES
    }
    found = dict(zip(known, digests_of([artifacts[stage].folder / name for stage, name in known]), strict=True))
    if found["split", "certificate.json"] == known["split", "certificate.json"]:
        inputs = json.loads((artifacts["split"].folder / "certificate.json").read_text())["inputs"]
        known |= {tuple(name.split("/", 1)): digest for name, digest in inputs.items()}
    return [
        f"{stage}: {name} is not what the split was made of, or was changed since; "
        f"delete {artifacts[stage].folder} and run again"
        for (stage, name), digest in sorted(known.items())
        if found[stage, name] != digest
    ]


def _by_key(part: pl.Series, values: pl.Series) -> tuple[int, int]:
    """Pairs of listings with one value that have a part, and how many of them lie in two."""
    inside = pl.DataFrame({"value": values, "part": part}).drop_nulls().group_by("value", "part").len()
    size = pl.col("len").cast(pl.Int64)
    pairs = size * (size - 1) // 2
    every = inside.group_by("value").agg(size.sum().alias("len")).select(pairs.sum()).item()
    return every, every - inside.select(pairs.sum()).item()
