"""Artifacts of a catalog -> the content of its data page, its pictures, and the table of what to fix."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from PIL import Image

from workbench.artifacts.store import Artifact
from workbench.catalog.clean.language import language_of
from workbench.images.shard import INDEX, Shards
from workbench.report.fixes import FEWEST_OF_CLASS, Problem, table, worst
from workbench.report.gallery import png

Json = dict[str, Any]
THUMBNAIL = 96  # pixels
MOST_READ = 2000  # listings, to tell the catalog's languages by their words
LETTERS = 40  # a shorter text hardly tells its language
MOST_LANGUAGES = 8
MOST_CLUSTERS = 24
MOST_IN_CLUSTER = 8
MOST_CLASSES = 12
MOST_REASONS = 40


def count(
    artifacts: Mapping[str, Artifact], feeds: Sequence[str], examples: int
) -> tuple[Json, dict[str, bytes], pl.DataFrame]:
    """The content (docs/report.md, `data`), PNG pictures by the names it uses, and the rows to fix.

    `artifacts` are those of ingest, images, duplicates and split; `feeds` the names of the feeds in their order.
    """
    listings = _listings(artifacts)
    drops = pl.read_parquet(artifacts["ingest"].path("drops.parquet"))
    problems = worst(listings, drops)
    shelf = _Shelf(listings, Shards(artifacts["images"].folder))
    summary = artifacts["ingest"].summary
    content = {
        **{name: summary[name] for name in ("rows", "listings", "joined", "dropped", "joined_by_role")},
        "feeds": [{"name": name, **feed} for name, feed in zip(feeds, summary["feeds"], strict=True)],
        "drops": list(_drops(drops, feeds, examples)),
        "parts": dict(_counted(listings["part"].fill_null("left out"))),
        "split": json.loads(artifacts["split"].path("certificate.json").read_text()),
        "attributes": list(_attributes(listings)),
        "labels": [_classes(listings, name) for name in listings.columns if name.startswith("label.")],
        "lengths": list(_lengths(listings)),
        **_languages(listings),
        "pictures": _pictures(artifacts["duplicates"], listings, examples),
        "placeholders": _placeholders(listings, shelf),
        **_duplicates(artifacts["duplicates"], listings, shelf),
        "cleaning": _cleaning(artifacts["ingest"]),
        "fixes": [_fix(rank, problem, feeds, examples) for rank, problem in enumerate(problems, 1)],
    }
    return content, shelf.pictures, table(problems)


def _listings(artifacts: Mapping[str, Artifact]) -> pl.DataFrame:
    """A line each: the items, where they stand in the feeds, their main picture's final state and size, their part."""
    items, sources, index, states, clusters, split = (
        pl.read_parquet(artifacts[stage].path(file))
        for stage, file in (
            ("ingest", "items.parquet"),
            ("ingest", "sources.parquet"),
            ("images", INDEX),
            ("duplicates", "pictures.parquet"),
            ("duplicates", "clusters.parquet"),
            ("split", "split.parquet"),
        )
    )
    first = pl.col("order") == pl.col("order").min().over("row")
    heads = sources.filter(pl.col("role") == "product").select("row", "file", "line")
    main = states.filter(first).select("row", "state", "reason")
    kept = clusters.filter("keep").select("cluster", pl.col("row").alias("kept"))
    doubles = clusters.filter(~pl.col("keep")).join(kept, on="cluster").select("row", "kept", "cluster")
    listings = items
    for told in (
        heads,
        main,
        index.filter(first).select("row", "width", "height", "sha256"),
        doubles.join(items.select(kept="row", duplicate_of="id"), on="kept").select("row", "duplicate_of"),
        split.select("row", "part"),
    ):
        listings = listings.join(told, on="row", how="left", maintain_order="left")
    return listings


class _Shelf:
    """Listings to show; the thumbnails of those shown gather in `pictures`."""

    def __init__(self, listings: pl.DataFrame, shards: Shards) -> None:
        self.pictures: dict[str, bytes] = {}
        self._listings, self._shards = listings, shards

    def show(self, row: int, said: str) -> Json:
        line, name = self._listings.row(row, named=True), None
        if self._shards.usable[row]:
            name = f"listing-{row}"
            with Image.open(io.BytesIO(self._shards.bytes(row))) as image:
                self.pictures[name] = png(image, THUMBNAIL)
        return {"id": line["id"], "title": line["title"], "picture": name, "said": said}


def _counted(values: pl.Series) -> Iterator[tuple[str, int]]:
    """Each value with how often it occurs, most frequent first."""
    name, counted = values.name, values.value_counts(name="count")
    yield from counted.sort("count", name, descending=[True, False]).iter_rows()


def _place(feeds: Sequence[str], line: Mapping[str, Any]) -> str:
    return f"{'/'.join(filter(None, (feeds[line['feed']], line['file'])))}, line {line['line']}"


def _drops(drops: pl.DataFrame, feeds: Sequence[str], examples: int) -> Iterator[Json]:
    for (reason,), rows in drops.group_by("reason", maintain_order=True):
        shown = rows.head(examples).iter_rows(named=True)
        lines = [{"id": r["id"], "title": r["title"], "detail": r["detail"], "place": _place(feeds, r)} for r in shown]
        yield {"reason": reason, "count": rows.height, "examples": lines}


def _attributes(listings: pl.DataFrame) -> Iterator[Json]:
    """The title, texts and labels, and facts that any listing has."""
    for name in listings.columns:
        kind, _, plain = name.rpartition(".")
        missing = listings[name].null_count()
        if kind or name == "title" or (name in ("price", "code", "picture") and missing < listings.height):
            yield {"name": plain, "kind": kind or ("text" if name == "title" else "fact"), "missing": missing}


def _classes(listings: pl.DataFrame, name: str) -> Json:
    """A label's classes: the largest, and the tail of those with few listings."""
    counted = list(_counted(listings[name].drop_nulls()))
    tail = [n for _, n in counted if n < FEWEST_OF_CLASS]
    largest, rest = counted[:MOST_CLASSES], counted[MOST_CLASSES:]
    return {
        "name": name.removeprefix("label."),
        "classes": len(counted),
        "few": FEWEST_OF_CLASS,
        "tail_classes": len(tail),
        "tail_listings": sum(tail),
        "largest": [{"name": k, "listings": n} for k, n in largest],
        "smallest": [{"name": k, "listings": n} for k, n in rest[-MOST_CLASSES:]],
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
    counted = [{"language": language, "listings": n} for language, n in _counted(told.drop_nulls())]
    shown, rest = counted[:MOST_LANGUAGES], sum(line["listings"] for line in counted[MOST_LANGUAGES:])
    return {
        "languages": shown + ([{"language": "others", "listings": rest}] if rest else []),
        "languages_of": looked_at,
    }


def _pictures(duplicates: Artifact, listings: pl.DataFrame, examples: int) -> Json:
    """Pictures by final state and reason; every picture that the recipe uses counts."""
    states = pl.read_parquet(duplicates.path("pictures.parquet"))
    unusable = states.filter(pl.col("state") != "present")
    counted = unusable.group_by("state", "reason").len().sort("len", "state", "reason", descending=[True, False, False])
    named = unusable.join(listings.select("row", "id", "title", "picture"), on="row", maintain_order="left")

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


def _placeholders(listings: pl.DataFrame, shelf: _Shelf) -> list[Json]:
    """Each placeholder once, the most frequent first."""
    found = listings.filter(pl.col("state") == "placeholder").group_by("sha256").agg(pl.col("row").min(), pl.len())
    told = found.sort("len", "row", descending=[True, False]).head(MOST_CLUSTERS).select("row", "len").iter_rows()
    return [shelf.show(row, f"on {n:,} listings") for row, n in told]


def _duplicates(duplicates: Artifact, listings: pl.DataFrame, shelf: _Shelf) -> Json:
    """Pairs by kind, and the largest clusters of which one listing is kept."""
    pairs = pl.read_parquet(duplicates.path("pairs.parquet"), columns=["kind"])
    clusters = pl.read_parquet(duplicates.path("clusters.parquet"))
    doubles = clusters.filter((~pl.col("keep")).any().over("cluster")).sort("cluster", pl.col("keep").not_(), "row")
    sizes = doubles.group_by("cluster").len().sort("len", "cluster", descending=[True, False]).head(MOST_CLUSTERS)

    def shown(cluster: int) -> list[Json]:
        members = doubles.filter(pl.col("cluster") == cluster).head(MOST_IN_CLUSTER)
        return [
            shelf.show(row, "kept" if keep else "left out") for row, keep in members.select("row", "keep").iter_rows()
        ]

    return {
        "kinship": dict(_counted(pairs["kind"])),
        "left_out": listings["duplicate_of"].count(),
        "duplicates": [{"listings": size, "shown": shown(cluster)} for cluster, size in sizes.iter_rows()],
    }


def _cleaning(ingest: Artifact) -> list[Json]:
    examples = json.loads(ingest.path("examples.json").read_text())
    changed = ingest.summary["cells_changed_by_rule"]
    return [{"rule": rule, "cells": n, "examples": examples.get(rule, [])} for rule, n in changed.items() if n]


def _fix(rank: int, problem: Problem, feeds: Sequence[str], examples: int) -> Json:
    shown = problem.rows.head(examples).iter_rows(named=True)
    return {
        "rank": rank,
        "problem": problem.name,
        "listings": problem.rows.height,
        "advice": problem.advice,
        "examples": [
            {"id": r["id"], "title": r["title"], "found": r["found"], "place": _place(feeds, r)} for r in shown
        ],
    }
