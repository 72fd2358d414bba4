"""The Ingest stage: feeds -> one table of cleaned listings, numbered row = 0..N-1, and a table of what was dropped.

    items.parquet    row, id, group, part, feed, title, text.<name> ..., label.<name> ..., picture
    sources.parquet  row, feed, line: where each listing was read
    drops.parquet    feed, line, id, title, picture, reason, detail; the same in drops.csv
    summary.json     every count

Items hold no file name and no line, so that one catalog gives the same bytes from any format.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from workbench.artifacts.stage import Stage, Work
from workbench.catalog.clean import NAME_RULES, TEXT_RULES, clean
from workbench.catalog.dialects import guess
from workbench.catalog.feeds.read import read_feed
from workbench.catalog.feeds.table import Table
from workbench.catalog.split import part_of
from workbench.errors import DataError
from workbench.recipe.schema import Catalog, Columns, Split

_DROP_SCHEMA = {
    "feed": pl.UInt32,
    "line": pl.UInt32,
    "id": pl.String,
    "title": pl.String,
    "picture": pl.String,
    "reason": pl.String,
    "detail": pl.String,
}


def stage(catalog: Catalog, digests: Mapping[str, str]) -> Stage:
    """The stage for these feeds; `digests` gives the digest of each feed file by its recipe key.

    Columns that the recipe leaves out are guessed here, from the head of the feed, so that the key holds them.
    """
    roles = [feed.columns or guess(feed.path).columns for feed in catalog.feeds]
    feeds = [{"columns": columns.model_dump()} for columns in roles]
    section = {"catalog": {"feeds": feeds, "split": catalog.split.model_dump()}}

    def run(work: Work) -> dict[str, Any]:
        tables = [read_feed(feed.path) for feed in catalog.feeds]
        parts = [_by_role(t, c, f.path, i) for i, (t, c, f) in enumerate(zip(tables, roles, catalog.feeds, strict=True))]
        return _ingest(tables, pl.concat(parts, how="diagonal"), catalog.split, work.folder)

    return Stage("ingest", 1, section, run, sources=digests)


def read_items(folder: Path) -> pl.DataFrame:
    """The listings of an ingest artifact, ordered by row; see the head of this file for the columns."""
    return pl.read_parquet(folder / "items.parquet")


def _by_role(table: Table, columns: Columns, path: Path, feed: int) -> pl.DataFrame:
    """A feed's columns under the names of their roles; DataError for a word that the header lacks."""
    wanted = {
        ("id",): columns.id,
        ("group",): columns.group,
        ("title",): columns.title,
        **{("text", name): word for name, word in columns.text.items()},
        **{("labels", name): word for name, word in columns.labels.items()},
        ("picture",): columns.picture,
    }
    header = table.cells.columns
    chosen = []
    for key, word in wanted.items():
        name = ".".join(key).replace("labels.", "label.", 1)
        if word is not None and word not in header:
            raise DataError(_no_such_column(path, header, word, f"catalog.feeds.{feed}.columns.{'.'.join(key)}"))
        chosen.append((pl.lit(None, pl.String) if word is None else pl.col(word)).alias(name))
    return table.cells.select(pl.lit(feed, pl.UInt32).alias("feed"), table.lines.alias("line"), *chosen)


def _no_such_column(path: Path, header: Sequence[str], word: str, key: str) -> str:
    folded = {w.casefold(): w for w in header}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    return f"{path}: no column {word!r}; {hint}header words: {', '.join(header)}. Correct {key} in the recipe"


def _ingest(tables: Sequence[Table], rows: pl.DataFrame, split: Split, folder: Path) -> dict[str, Any]:
    texts = sorted(name for name in rows.columns if name.startswith("text."))
    labels = sorted(name for name in rows.columns if name.startswith("label."))
    rows, changed_names = clean(rows, ["id", "group", "picture"], NAME_RULES)
    rows, changed_texts = clean(rows, ["title", *texts, *labels], TEXT_RULES)

    bad = [(feed, b.line, None, None, None, b.reason, b.detail) for feed, t in enumerate(tables) for b in t.bad]
    drops = [pl.DataFrame(bad, _DROP_SCHEMA, orient="row")]
    no_text = pl.all_horizontal(pl.col("title", *texts).is_null())
    # Judged in this order on what the earlier ones left, so that each row has one reason.
    for reason, dropped, detail in (
        ("no id", pl.col("id").is_null(), pl.lit("the id is empty")),
        ("no title", no_text, pl.lit("title and text attributes are all empty")),
        ("duplicate id", ~pl.col("id").is_first_distinct(), _first_of_id()),
    ):
        judged = rows.with_columns(reason=pl.lit(reason), detail=detail, dropped=dropped)
        drops.append(judged.filter("dropped").select(pl.col(n).cast(t) for n, t in _DROP_SCHEMA.items()))
        rows = judged.filter(~pl.col("dropped")).drop("reason", "detail", "dropped")
    dropped = pl.concat(drops).sort("feed", "line")

    found = sum(table.rows for table in tables)
    assert found == rows.height + dropped.height, f"{found} rows in, {rows.height} kept, {dropped.height} dropped"
    if not rows.height:
        reasons = ", ".join(f"{n} {reason}" for reason, n in _counts(dropped["reason"]).items())
        raise DataError(f"no listing is left of {found} rows ({reasons}); check catalog.feeds.0.columns in the recipe")

    items = rows.with_columns(pl.col("group").fill_null(pl.col("id"))).with_row_index("row")
    groups = items["group"].unique(maintain_order=True)
    parts = pl.DataFrame({"group": groups, "part": [part_of(group, split) for group in groups]})
    items = items.join(parts, on="group", how="left", maintain_order="left")
    summary = {
        "rows": found,
        "kept": items.height,
        "dropped": dropped.height,
        "dropped_by_reason": _counts(dropped["reason"]),
        "feeds": [
            {
                "read_as": table.read_as,
                "rows": table.rows,
                "kept": items.filter(pl.col("feed") == i).height,
                "dropped_by_reason": _counts(dropped.filter(pl.col("feed") == i)["reason"]),
            }
            for i, table in enumerate(tables)
        ],
        "parts": _counts(items["part"]),
        "groups": groups.len(),
        "groups_by_part": _counts(parts["part"]),
        "groups_in_two_parts": items.group_by("group").agg(pl.col("part").n_unique()).filter(pl.col("part") > 1).height,
        "missing": {name: items[name].null_count() for name in ("title", *texts, *labels, "picture")},
        "cells_changed_by_rule": changed_names | changed_texts,
    }
    ordered = ["row", "id", "group", "part", "feed", "title", *texts, *labels, "picture"]
    _write(folder / "items.parquet", items.select(ordered).rechunk().write_parquet)
    _write(folder / "sources.parquet", items.select("row", "feed", "line").rechunk().write_parquet)
    _write(folder / "drops.parquet", dropped.rechunk().write_parquet)
    _write(folder / "drops.csv", dropped.write_csv)
    _write(folder / "summary.json", lambda path: path.write_text(json.dumps(summary, indent=1, ensure_ascii=False)))
    return summary


def _first_of_id() -> pl.Expr:
    first = pl.format("feed {}, line {}", pl.col("feed").first(), pl.col("line").first()).over("id")
    return pl.format("first seen in {}", first)


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.value_counts().iter_rows()))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Aside, then renamed: a killed run leaves no half file under the final name."""
    aside = path.with_name(path.name + ".tmp")
    write(aside)
    aside.replace(path)
