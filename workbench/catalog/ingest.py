"""The Ingest stage: feeds -> one table of cleaned listings, numbered row = 0..N-1, and a table of what was dropped.

    items.parquet     row, id, group, code, feed, title, text.<name> ..., label.<name> ..., language, price, currency,
                      given_split, picture (the main one's name)
    pictures.parquet  row, order (0: the main one), role (main | extra | variant), name
    sources.parquet   row, feed, file, line, role: the rows of the feeds that a listing was read from; its head is
                      "product", others are what the dialect says
    drops.parquet     feed, file, line, id, title, picture, reason, detail; the same in drops.csv
    mended.parquet    feed, file, line, reason, detail: rows that were not as they should be, and what was done
    examples.json     for each rule of cleaning the first cells that it changed, before and after
    summary.json      every count; rows = listings + joined + dropped

Items hold no file name and no line, so that one catalog gives the same bytes from any format. A feed goes through in
chunks: the next are read here, and cleaned by the executor, while the last is written; memory holds a few of them,
whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl

from workbench.artifacts.stage import Stage, Work
from workbench.catalog.dialects.dialect import Reading
from workbench.catalog.dialects.look import look
from workbench.catalog.intake import Intake
from workbench.catalog.listings import schema
from workbench.catalog.stream import read_clean
from workbench.errors import DataError
from workbench.recipe.schema import Catalog, Feed
from workbench.recipe.secrets import without_password

Known = Callable[[int], Mapping[str, Any] | None]  # number of a feed -> how it was read elsewhere


def stage(catalog: Catalog, digests: Mapping[str, str], pushed: Known = lambda number: None) -> Stage:
    """The stage for these feeds; `digests` gives the digest of each feed by its recipe key.

    How each is read is found out here, from its head, so that the key holds it; `pushed` knows it of feeds (by number)
    that aren't here. Raises DataError when it can't be; `run` raises it for a feed that doesn't fit its columns.
    """
    found = [_look(feed, number, catalog.language, pushed) for number, feed in enumerate(catalog.feeds)]
    readings = [reading for reading, _ in found if reading]
    section = {
        "feeds": [how for _, how in found],
        "clean": catalog.clean.model_dump(mode="json"),
        "same_id": catalog.same_id,
    }
    return Stage("ingest", 5, {"catalog": section}, lambda work: _run(work, catalog, readings), sources=digests)


def _look(feed: Feed, number: int, language: str | None, pushed: Known) -> tuple[Reading | None, Mapping[str, Any]]:
    """How a feed is read, also as the key has it; that alone where it was read elsewhere."""
    if feed.path and (known := pushed(number)):
        return None, known
    try:
        reading = look(feed, f"catalog.feeds.{number}", language)
    except DataError:  # a database that can't be reached from here
        if feed.path or not (known := pushed(number)):
            raise
        return None, known
    columns = reading.columns.model_dump(mode="json")
    return reading, {**asdict(replace(reading, said=())), "columns": columns, **_asked(feed)}


def _asked(feed: Feed) -> dict[str, str | None]:
    """What stands for the digest of a feed that is no file: what was asked, and when; of an address no password."""
    if feed.path:
        return {}
    database = without_password(feed.database) if feed.database else None
    return {"dataset": feed.dataset, "database": database, "query": feed.query, "as_of": feed.as_of}


def read_items(folder: Path) -> pl.DataFrame:
    """The listings of an ingest artifact, ordered by row; see the head of this file for the columns."""
    return pl.read_parquet(folder / "items.parquet")


def _run(work: Work, catalog: Catalog, readings: Sequence[Reading]) -> dict[str, Any]:
    columns = schema([reading.columns for reading in readings])
    with Intake(work.folder, columns) as intake, work.progress("ingest", work.rows, "rows", guessed=True) as progress:
        for number, (feed, reading) in enumerate(zip(catalog.feeds, readings, strict=True)):
            taken, key = intake.feed(number, reading.dialect), f"catalog.feeds.{number}"
            begin = intake.position
            how = key, list(columns), catalog.clean, begin, taken.recurring
            for chunk in read_clean(work.executor, feed, reading, *how):
                rows, dropped = intake.take(taken, *chunk)
                progress.advance(rows, dropped=dropped)
    return intake.finish(catalog.same_id)
