"""What the Duplicates stage does: pictures first, since placeholders make no kin; then pairs; then clusters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.artifacts.executor import Executor, Heard
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.catalog.codes import valid_codes
from workbench.catalog.duplicates.again import Search, read_search
from workbench.catalog.duplicates.clusters import Ints, cluster
from workbench.catalog.duplicates.kin import kin
from workbench.catalog.duplicates.looks import Looks
from workbench.catalog.duplicates.placeholders import placeholders
from workbench.catalog.duplicates.stage import KINDS
from workbench.catalog.duplicates.texts import BANDS, Texts
from workbench.catalog.ingest import read_items
from workbench.recipe.schema import Duplicates


@dataclass(frozen=True)
class Alike:
    """Which listings of a catalog are alike."""

    pairs: pl.DataFrame  # as in pairs.parquet
    states: pl.DataFrame  # as in pictures.parquet
    looks: Looks
    words: Search  # for next week's run
    rank: Ints  # (N,) how complete a listing is: first whether it has a picture, then the length of its text


def alike(
    items: pl.DataFrame,
    index: Path,
    duplicates: Duplicates,
    earlier: Artifact | None = None,
    executor: Executor | None = None,
) -> Alike:
    """Candidates by pictures and by words; then placeholders, since these make no kin; `earlier` was verified."""
    looks = Looks(index, earlier, executor)
    facts, texts = described(items, executor)
    left, right, words = texts.likely_pairs(read_search(earlier.folder, "text", 1, BANDS) if earlier else None)
    blank = pl.DataFrame(schema={"look": pl.UInt32, "listings": pl.UInt32, "groups": pl.UInt32})
    if duplicates.placeholders:
        labels = items.select(name for name in items.columns if name.startswith("label."))
        blank = placeholders(looks.shown, texts, items["group"], labels)
    shown = looks.without(blank)
    has_picture = np.isin(np.arange(len(items)), shown["row"].to_numpy())
    length = facts["text"].str.len_chars().fill_null(0).to_numpy().astype(np.int64)
    pairs = kin(facts, texts, (left, right), shown, looks.near)
    return Alike(pairs, looks.states(blank), looks, words, (has_picture.astype(np.int64) << 40) | length)


def described(items: pl.DataFrame, executor: Executor | None = None) -> tuple[pl.DataFrame, Texts]:
    """row, group, code (valid ones), text (title and texts as one) of each listing; and their words."""
    fields = [name for name in items.columns if name.startswith("text.")]
    text = items.select(pl.concat_str("title", *fields, separator=" ", ignore_nulls=True).alias("text"))["text"]
    text = text.set(text == "", None)
    facts = pl.DataFrame(
        {"row": items["row"], "group": items["group"], "code": valid_codes(items["code"]), "text": text}
    )
    return facts, Texts(items["title"], text, executor)


def find(work: Work, duplicates: Duplicates) -> Mapping[str, Any]:
    """Fill `work.folder`; returns the summary."""
    items = read_items(work.inputs["ingest"].folder)
    if work.earlier:
        work.earlier.verify()
    with work.progress("duplicates", unit="pieces") as progress:  # of several searches, each through all listings
        executor = Heard(work.executor, progress.advance)
        found = alike(items, work.inputs["images"].path("index.parquet"), duplicates, work.earlier, executor)
    actions = {kind: getattr(duplicates, kind.replace(" ", "_")) for kind in KINDS}
    clusters = cluster(found.pairs, actions, found.rank, items["group"])
    for name, table in (
        ("pairs", found.pairs),
        ("clusters", clusters),
        ("pictures", found.states),
    ):
        table.rechunk().write_parquet(work.folder / f"{name}.parquet")
    found.looks.search.write(work.folder, "picture")
    found.words.write(work.folder, "text")
    summary = {
        "pairs": {kind: int((found.pairs["kind"] == kind).sum()) for kind in KINDS},
        "left_out": int((~clusters["keep"]).sum()),
        "pictures": dict(sorted(found.states["state"].value_counts().iter_rows())),
        "distinct_pictures": found.looks.count,
        "compared_pictures": found.looks.search.pairs["score"].count(),
        "usual_picture": found.looks.mean,
    }
    (work.folder / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary
