"""Artifacts of a catalog -> the content of its data page, its pictures, and the table of what to fix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from workbench.artifacts.store import Artifact
from workbench.catalog.clean.language import language_of
from workbench.catalog.parts import PARTS
from workbench.images.shard import INDEX
from workbench.images.stream import open_shards
from workbench.report.fixes import FEWEST_OF_CLASS, Problem, table, worst
from workbench.report.places import place
from workbench.report.shelf import Shelf

Json = dict[str, Any]
MOST_READ = 2000  # listings, to tell the catalog's languages by their words
LETTERS = 40  # a shorter text hardly tells its language
MOST_LANGUAGES = 8
MOST_SHOWN = 12  # clusters, placeholders, classes at either end
MOST_IN_CLUSTER = 8
MOST_REASONS = 40
FACTS = ("price", "code", "picture")  # attributes that only some feeds have


@dataclass(frozen=True)
class Counts:
    """What a page shows of a catalog."""

    content: Json  # docs/report.md, `data`
    shelf: Shelf  # with the pictures of the listings shown
    fixes: pl.DataFrame  # the rows to fix, worst problem first


def count(artifacts: Mapping[str, Artifact], feeds: Sequence[str], examples: int) -> Counts:
    """Count a catalog and choose what to show of it, of most things `examples`.

    `artifacts` are those of ingest, images, duplicates and split; `feeds` the names of the feeds in their order.
    """
    ingest, duplicates = artifacts["ingest"], artifacts["duplicates"]
    listings = _listings(artifacts)
    drops, mended = (pl.read_parquet(ingest.path(name)) for name in ("drops.parquet", "mended.parquet"))
    problems = worst(listings, drops)
    shelf = Shelf(listings, open_shards(artifacts["images"]))
    certificate = json.loads(artifacts["split"].path("certificate.json").read_text("utf-8"))
    content = {
        **{name: ingest.summary[name] for name in ("rows", "listings", "joined", "dropped", "joined_by_role")},
        "feeds": list(_feeds(feeds, ingest.summary["feeds"])),
        "drops": _by_reason(drops, feeds, examples),
        "mended": _by_reason(mended, feeds, examples),
        "parts": {part: certificate["parts"][part] for part in PARTS} | {"left out": listings["part"].null_count()},
        "split": {name: certificate[name] for name in ("components", "largest", "could_cross", "cross", "kin")},
        "attributes": list(_attributes(listings)),
        "labels": [_classes(listings, name) for name in listings.columns if name.startswith("label.")],
        "lengths": list(_lengths(listings)),
        **_languages(listings),
        "pictures": _pictures(artifacts, listings, examples),
        "placeholders": _placeholders(listings, shelf),
        **_duplicates(duplicates, listings, shelf),
        "cleaning": _cleaning(ingest),
        "fixes": [_fix(rank, problem, feeds, examples) for rank, problem in enumerate(problems, 1)],
    }
    return Counts(content, shelf, table(problems, feeds))


def _listings(artifacts: Mapping[str, Artifact]) -> pl.DataFrame:
    """A line each: the items, where they stand in the feeds, their main picture's final state and size, their part."""

    def read(stage: str, file: str, *columns: str) -> pl.DataFrame:
        return pl.read_parquet(artifacts[stage].path(file), columns=list(columns) or None)

    main = pl.col("order") == pl.col("order").min().over("row")
    items = read("ingest", "items.parquet")
    clusters = read("duplicates", "clusters.parquet")
    kept = clusters.filter("keep").join(items.select("row", duplicate_of="id"), on="row")
    listings = items
    for told in (
        read("ingest", "sources.parquet").filter(role="product").select("row", "file", "line"),
        read("duplicates", "pictures.parquet").filter(main).select("row", "state", "reason"),
        read("images", INDEX, "row", "order", "width", "height", "sha256").filter(main).drop("order"),
        clusters.filter(~pl.col("keep")).join(kept, on="cluster").select("row", "duplicate_of"),
        read("split", "split.parquet", "row", "part"),
    ):
        listings = listings.join(told, on="row", how="left", maintain_order="left")
    return listings


def _counted(values: pl.Series) -> Iterator[tuple[str, int]]:
    """Each value with how often it occurs, most frequent first."""
    name, counted = values.name, values.value_counts(name="count")
    yield from counted.sort("count", name, descending=[True, False]).iter_rows()


def _feeds(names: Sequence[str], summaries: Sequence[Json]) -> Iterator[Json]:
    told = ("dialect", "read_as", "rows", "listings", "joined", "dropped")
    for name, summary in zip(names, summaries, strict=True):
        yield {"name": name, **{field: summary[field] for field in told}}


def _by_reason(rows: pl.DataFrame, feeds: Sequence[str], examples: int) -> list[Json]:
    """Rows that were dropped or mended, the most frequent reason first."""
    told = [name for name in ("id", "title", "detail") if name in rows.columns]
    found = []
    for (reason,), alike in rows.group_by("reason", maintain_order=True):
        shown = [{**{n: row[n] for n in told}, "place": place(feeds, row)} for row in alike.head(examples).to_dicts()]
        found.append({"reason": reason, "count": alike.height, "examples": shown})
    return sorted(found, key=lambda line: -line["count"])


def _attributes(listings: pl.DataFrame) -> Iterator[Json]:
    """The title, texts and labels, and facts that any listing has."""
    for column in listings.columns:
        kind, _, name = column.partition(".")
        missing = listings[column].null_count()
        if name:
            yield {"name": name, "kind": kind, "missing": missing}
        elif column == "title":
            yield {"name": column, "kind": "text", "missing": missing}
        elif column in FACTS and missing < listings.height:
            yield {"name": column, "kind": "fact", "missing": missing}


def _classes(listings: pl.DataFrame, name: str) -> Json:
    """A label's classes: the largest, and the tail of those with few listings."""
    counted = list(_counted(listings[name].drop_nulls()))
    tail = [n for _, n in counted if n < FEWEST_OF_CLASS]
    largest, rest = counted[:MOST_SHOWN], counted[MOST_SHOWN:]
    return {
        "name": name.removeprefix("label."),
        "classes": len(counted),
        "few": FEWEST_OF_CLASS,
        "tail_classes": len(tail),
        "tail_listings": sum(tail),
        "largest": [{"name": k, "listings": n} for k, n in largest],
        "smallest": [{"name": k, "listings": n} for k, n in rest[-MOST_SHOWN:]],
    }


def _lengths(listings: pl.DataFrame) -> Iterator[Json]:
    """Words of the texts that aren't empty, by text attribute."""
    for name in listings.columns:
        if name == "title" or name.startswith("text."):
            words = listings[name].drop_nulls().str.split(" ").list.len()
            if len(words):
                at = {"tenth": 0.1, "half": 0.5, "nine_tenths": 0.9, "longest": 1.0}
                counts = {k: int(words.quantile(q, "nearest") or 0) for k, q in at.items()}
                yield {"name": name.removeprefix("text."), **counts}


def _languages(listings: pl.DataFrame) -> Json:
    """The languages that the feeds say, else what the words of some listings, evenly spread, seem to be in."""
    told, looked_at = listings["language"], None
    if told.null_count() == listings.height:
        sample = listings.gather_every(max(1, listings.height // MOST_READ))
        texts = [name for name in listings.columns if name == "title" or name.startswith("text.")]
        words = sample.select(pl.concat_str(texts, separator=" ", ignore_nulls=True).alias("language")).to_series()
        words = words.filter(words.str.count_matches(r"\p{L}") >= LETTERS)
        told, looked_at = language_of(words), len(words)
        commonest = told.drop_nulls().mode().sort().head(1).to_list()  # that of titles which only name and number
        other = (~told.is_in(commonest)).arg_true()
        told = told.scatter(other, language_of(words.gather(other), commonest))
    counted = list(_counted(told.drop_nulls()))
    shown, rest = counted[:MOST_LANGUAGES], sum(n for _, n in counted[MOST_LANGUAGES:])
    lines = shown + ([("others", rest)] if rest else [])
    return {"languages": [{"language": name, "listings": n} for name, n in lines], "languages_of": looked_at}


def _pictures(artifacts: Mapping[str, Artifact], listings: pl.DataFrame, examples: int) -> Json:
    """Pictures by final state and reason; every picture that the recipe uses counts."""
    states = pl.read_parquet(artifacts["duplicates"].path("pictures.parquet"))
    names = pl.scan_parquet(artifacts["ingest"].path("pictures.parquet")).select(
        "row", pl.col("order").cast(states.schema["order"]), picture="name"
    )
    unusable = states.filter(pl.col("state") != "present")
    counted = unusable.group_by("state", "reason").len().sort("len", "state", "reason", descending=[True, False, False])
    named = unusable.join(listings.select("row", "id", "title"), on="row", maintain_order="left")
    named = named.join(names.collect(), on=["row", "order"], how="left", maintain_order="left")

    def shown(state: str, reason: str) -> list[Json]:
        alike = (pl.col("state") == state) & pl.col("reason").eq_missing(pl.lit(reason))
        return named.filter(alike).head(examples).select("id", "title", "picture").to_dicts()

    return {
        **{state: (states["state"] == state).sum() for state in ("present", "absent", "broken", "placeholder")},
        "reasons": [
            {"state": state, "reason": reason, "count": n, "examples": shown(state, reason)}
            for state, reason, n in counted.head(MOST_REASONS).iter_rows()
        ],
    }


def _placeholders(listings: pl.DataFrame, shelf: Shelf) -> list[Json]:
    """Each placeholder once, the most frequent first."""
    found = listings.filter(pl.col("state") == "placeholder").group_by("sha256").agg(pl.col("row").min(), pl.len())
    told = found.sort("len", "row", descending=[True, False]).head(MOST_SHOWN).select("row", "len").iter_rows()
    return [{**shelf.show(row), "listings": n} for row, n in told]


def _duplicates(duplicates: Artifact, listings: pl.DataFrame, shelf: Shelf) -> Json:
    """Pairs by kind, and the largest clusters of which one listing is kept."""
    pairs = pl.read_parquet(duplicates.path("pairs.parquet"), columns=["kind"])
    clusters = pl.read_parquet(duplicates.path("clusters.parquet"))
    doubles = clusters.filter((~pl.col("keep")).any().over("cluster")).sort("cluster", pl.col("keep").not_(), "row")
    sizes = doubles.group_by("cluster").len().sort("len", "cluster", descending=[True, False]).head(MOST_SHOWN)

    def shown(cluster: int) -> list[Json]:
        members = doubles.filter(pl.col("cluster") == cluster).head(MOST_IN_CLUSTER)
        return [{**shelf.show(row), "kept": kept} for row, kept in members.select("row", "keep").iter_rows()]

    return {
        "kinship": dict(_counted(pairs["kind"])),
        "left_out": listings["duplicate_of"].count(),
        "duplicates": [{"listings": size, "shown": shown(cluster)} for cluster, size in sizes.iter_rows()],
    }


def _cleaning(ingest: Artifact) -> list[Json]:
    examples = json.loads(ingest.path("examples.json").read_text("utf-8"))
    changed = ingest.summary["cells_changed_by_rule"]
    return [{"rule": rule, "cells": n, "examples": examples.get(rule, [])} for rule, n in changed.items() if n]


def _fix(rank: int, problem: Problem, feeds: Sequence[str], examples: int) -> Json:
    shown = problem.rows.head(examples).to_dicts()
    return {
        "rank": rank,
        "problem": problem.name,
        "listings": problem.rows.height,
        "advice": problem.advice,
        "examples": [
            {"id": r["id"], "title": r["title"], "found": r["found"], "place": place(feeds, r)} for r in shown
        ],
    }
