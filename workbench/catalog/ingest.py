"""The Ingest stage: feeds -> one table of cleaned listings, numbered row = 0..N-1, and a table of what was dropped.

    items.parquet    row, id, group, feed, title, text.<name> ..., label.<name> ..., picture
    sources.parquet  row, feed, line: where each listing was read
    drops.parquet    feed, line, id, title, picture, reason, detail; the same in drops.csv
    summary.json     every count

Items hold no file name and no line, so that one catalog gives the same bytes from any format.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from workbench.artifacts.stage import Stage, Work
from workbench.catalog.clean import NAME_RULES, TEXT_RULES, clean
from workbench.catalog.dialects.look import guess
from workbench.catalog.feeds.read import read_feed
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError
from workbench.recipe.schema import Catalog, Columns

_DROP_COLUMNS = ("feed", "line", "id", "title", "picture", "reason", "detail")


def stage(catalog: Catalog, digests: Mapping[str, str]) -> Stage:
    """The stage for these feeds; `digests` gives the digest of each feed file by its recipe key.

    Columns that the recipe leaves out are guessed here, from the head of the feed, so that the key holds them.
    Raises DataError when they can't be guessed; `run` raises it for a feed that doesn't fit its columns.
    """
    keys = [f"catalog.feeds.{i}" for i in range(len(catalog.feeds))]
    roles = [f.columns or guess(f.path, key).columns for f, key in zip(catalog.feeds, keys, strict=True)]
    feeds = [{"columns": columns.model_dump()} for columns in roles]

    def run(work: Work) -> dict[str, Any]:
        tables = [read_feed(feed.path) for feed in catalog.feeds]
        for feed, table, columns, key in zip(catalog.feeds, tables, roles, keys, strict=True):
            _check_header(feed.path, table.cells.columns, columns, key)
        return _ingest(tables, roles, work.folder)

    return Stage("ingest", 2, {"catalog": {"feeds": feeds}}, run, sources=digests)


def read_items(folder: Path) -> pl.DataFrame:
    """The listings of an ingest artifact, ordered by row; see the head of this file for the columns."""
    return pl.read_parquet(folder / "items.parquet")


def _words(columns: Columns) -> dict[str, str | None]:
    """Column of the items -> header word of the feed, None for a role that no column plays."""
    return {
        "id": columns.id,
        "group": columns.group,
        "title": columns.title,
        "picture": columns.picture,
        **{f"text.{name}": word for name, word in columns.text.items()},
        **{f"label.{name}": word for name, word in columns.labels.items()},
    }


def _check_header(path: Path, header: Sequence[str], columns: Columns, key: str) -> None:
    folded = {word.casefold(): word for word in header}
    for name, word in _words(columns).items():
        if word is not None and word not in header:
            near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
            hint = f"did you mean {folded[near[0]]!r}? " if near else ""
            raise DataError(
                f"{path}: no column {word!r}; {hint}header words: {', '.join(header)}. "
                f"Correct {key}.columns.{re.sub('^label', 'labels', name)} in the recipe"
            )


def _ingest(tables: Sequence[Table], roles: Sequence[Columns], folder: Path) -> dict[str, Any]:
    rows = pl.concat(
        [_by_role(feed, *pair) for feed, pair in enumerate(zip(tables, roles, strict=True))], how="diagonal"
    )
    texts, labels = (sorted(n for n in rows.columns if n.startswith(kind)) for kind in ("text.", "label."))
    rows, changed_names = clean(rows, ["id", "group", "picture"], NAME_RULES)
    rows, changed_texts = clean(rows, ["title", *texts, *labels], TEXT_RULES)
    rows, drops = _drop(rows, texts)
    drops = pl.concat([drops, *map(_unread, range(len(tables)), tables)]).sort("feed", "line")

    found = sum(table.rows for table in tables)
    if found != rows.height + drops.height:
        raise AssertionError(f"{found} rows in, {rows.height} kept, {drops.height} dropped")
    if not rows.height:
        reasons = ", ".join(f"{n} {reason}" for reason, n in _counts(drops["reason"]).items())
        raise DataError(f"no listing is left of {found} rows ({reasons}); check catalog.feeds.0.columns in the recipe")

    items = rows.with_columns(pl.col("group").fill_null(pl.col("id"))).with_row_index("row")

    summary = {
        "rows": found,
        "kept": items.height,
        "dropped": drops.height,
        "dropped_by_reason": _counts(drops["reason"]),
        "feeds": [
            {
                "read_as": table.read_as,
                "rows": table.rows,
                "kept": items.filter(pl.col("feed") == feed).height,
                "dropped_by_reason": _counts(drops.filter(pl.col("feed") == feed)["reason"]),
            }
            for feed, table in enumerate(tables)
        ],
        "groups": items["group"].n_unique(),
        "missing": {name: items[name].null_count() for name in ("title", *texts, *labels, "picture")},
        "cells_changed_by_rule": changed_names | changed_texts,
    }
    columns = ["row", "id", "group", "feed", "title", *texts, *labels, "picture"]
    _write(folder / "items.parquet", items.select(columns).rechunk().write_parquet)
    _write(folder / "sources.parquet", items.select("row", "feed", "line").rechunk().write_parquet)
    _write(folder / "drops.parquet", drops.rechunk().write_parquet)
    _write(folder / "drops.csv", drops.write_csv)
    _write(folder / "summary.json", lambda path: path.write_text(json.dumps(summary, indent=1)))
    return summary


def _by_role(feed: int, table: Table, columns: Columns) -> pl.DataFrame:
    """A feed's columns under the names of their roles, all null for a role that no column plays."""
    words = _words(columns).items()
    cells = ((pl.lit(None, pl.String) if word is None else pl.col(word)).alias(name) for name, word in words)
    return table.cells.select(pl.lit(feed, pl.UInt32).alias("feed"), table.lines.alias("line"), *cells)


def _drop(rows: pl.DataFrame, texts: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(kept, dropped): each reason is judged on what the earlier ones left, so that a row has one."""
    seen = pl.format("first seen in feed {}, line {}", pl.col("feed").first(), pl.col("line").first()).over("id")
    dropped = []
    for reason, applies, detail in (
        ("no id", pl.col("id").is_null(), pl.lit("the id is empty")),
        (
            "no title",
            pl.all_horizontal(pl.col("title", *texts).is_null()),
            pl.lit("title and text attributes are empty"),
        ),
        ("duplicate id", ~pl.col("id").is_first_distinct(), seen),
    ):
        judged = rows.with_columns(applies.alias("applies"), reason=pl.lit(reason), detail=detail)
        dropped.append(judged.filter("applies").select(_DROP_COLUMNS))
        rows = judged.filter(~pl.col("applies")).drop("applies", "reason", "detail")
    return rows, pl.concat(dropped)


def _unread(feed: int, table: Table) -> pl.DataFrame:
    """The rows that the reader could not read, in the shape of drops."""
    kinds = {name: pl.UInt32 if name in ("feed", "line") else pl.String for name in _DROP_COLUMNS}
    rows = [(feed, bad.line, None, None, None, bad.reason, bad.detail) for bad in table.bad]
    return pl.DataFrame(rows, kinds, orient="row")


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.value_counts().iter_rows()))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Aside, then renamed: a killed run leaves no half file under the final name."""
    aside = path.with_name(path.name + ".tmp")
    write(aside)
    aside.replace(path)
