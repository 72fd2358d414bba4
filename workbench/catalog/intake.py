"""Cleaned chunks -> the files of the ingest artifact: rows numbered, doubles dropped, everything counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.catalog.clean.boilerplate import Boilerplate
from workbench.catalog.clean.rules import Changes
from workbench.catalog.dialects.dialect import Products
from workbench.catalog.drops import described, dropped, unread
from workbench.catalog.listings import PICTURES, Listings
from workbench.catalog.seen import Seen
from workbench.catalog.write import RowGroups, compact
from workbench.errors import DataError

Columns = Mapping[str, type[pl.DataType]]
MENDED = {"feed": pl.UInt32, "file": pl.String, "line": pl.UInt32, "reason": pl.String, "detail": pl.String}
SOURCES = {"row": pl.UInt32, "feed": pl.UInt32, "file": pl.String, "line": pl.UInt32, "role": pl.String}


@dataclass
class Counts:
    """Rows of a feed, or of several: rows = listings + joined + dropped."""

    rows: int = 0
    listings: int = 0
    joined: Counter[str] = field(default_factory=Counter)  # by role
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    missing: Counter[str] = field(default_factory=Counter)  # by column
    languages: Counter[str] = field(default_factory=Counter)
    currencies: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def summary(self) -> dict[str, Any]:
        return {
            **{"rows": self.rows, "listings": self.listings, "joined": self.joined.total()},
            **{"dropped": self.dropped.total(), "joined_by_role": dict(sorted(self.joined.items()))},
            "dropped_by_reason": dict(sorted(self.dropped.items())),
        }


@dataclass
class Taken:
    """What has been taken from one feed."""

    number: int
    dialect: str
    read_as: str = ""
    counts: Counts = field(default_factory=Counts)
    recurring: dict[str, Boilerplate] = field(default_factory=dict)  # by column

    def count(self, products: Products, items: pl.DataFrame, joined: pl.DataFrame, drops: pl.DataFrame) -> None:
        self.read_as = products.read_as
        self.counts += Counts(
            rows=products.cells.height + products.joined.height + len(products.bad),
            listings=items.height,
            joined=_counter(joined["role"]),
            dropped=_counter(drops["reason"]),
            missing=Counter({name: n for name, n in items.null_count().row(0, named=True).items() if n}),
            languages=_counter(items["language"]),
            currencies=_counter(items["currency"]),
        )

    def boilerplate(self) -> Iterator[dict[str, Any]]:
        for column, found in self.recurring.items():
            for where, sentences in (("head", found.heads), ("tail", found.tails)):
                for sentence in sentences:
                    yield {"feed": self.number, "column": column, "where": where, "sentence": sentence}


def _counter(values: pl.Series) -> Counter[str]:
    return Counter(dict(values.drop_nulls().value_counts().iter_rows()))


class Intake:
    """The open files of an artifact; `take` each chunk, then close, then `finish`."""

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.position = 0  # products so far
        self.feeds: list[Taken] = []
        self._folder = folder
        self._schema = dict(columns)
        self._seen = Seen()
        self._changes = Changes()
        self._drops: list[pl.DataFrame] = []
        self._mended: list[tuple[int, str, int, str, str]] = []

    def __enter__(self) -> Intake:
        self._files = ExitStack()
        self._items, self._pictures, self._sources = (
            self._files.enter_context(RowGroups(self._folder / name, schema))
            for name, schema in (
                ("items.parquet", self._schema),
                ("pictures.parquet", PICTURES),
                ("sources.parquet", SOURCES),
            )
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)

    def feed(self, number: int, dialect: str) -> Taken:
        """Begin with a feed."""
        self.feeds.append(Taken(number, dialect))
        return self.feeds[-1]

    def take(self, feed: Taken, products: Products, listings: Listings) -> tuple[int, int]:
        """Write a chunk's listings that are kept, and note the rest: how many rows it had, and how many are dropped."""
        rows = listings.rows.with_row_index("index").with_columns(pl.lit(feed.number, pl.UInt32).alias("feed"))
        rows = self._numbered(rows)
        kept, gone = rows.filter(pl.col("row").is_not_null()), rows.filter(pl.col("row").is_null())
        items = kept.with_columns(pl.col("group").fill_null(pl.col("id"))).select(*self._schema)
        pictures = _of_rows(listings.pictures, "row", rows["row"])
        joined = _of_rows(products.joined, "index", rows["row"])
        drops = pl.concat([dropped(gone, products.joined), unread(feed.number, products)])
        self._items.add(items)
        self._pictures.add(pictures.select(*PICTURES))
        self._sources.add(_sources(kept, joined, feed.number))
        self._drops.append(compact(drops.sort("file", "line", maintain_order=True)))
        self._mended += [(feed.number, products.file, row.line, row.reason, row.detail) for row in products.mended]
        self._changes.include(listings.changes)
        self.position += products.cells.height
        feed.count(products, items, joined, drops)
        return products.cells.height + products.joined.height + len(products.bad), drops.height

    def _numbered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """With `row` for those kept; for those whose id came before, a reason and the `first` row that had it."""
        able = rows["reason"].is_null().arg_true()
        content = rows.gather(able).select(name for name in self._schema if name != "row")
        begun = self._seen.rows
        first, same = self._seen.meet(rows["id"].gather(able), content.hash_rows().to_numpy())
        new = able.filter(pl.Series(first < 0))
        old = able.filter(pl.Series(first >= 0))
        row, before = (pl.repeat(None, rows.height, dtype=pl.UInt32, eager=True) for _ in range(2))
        reasons = pl.Series(np.where(same[first >= 0], "exact duplicate row", "duplicate id"), dtype=pl.String)
        return rows.with_columns(
            row.scatter(new, np.arange(begun, begun + len(new), dtype=np.uint32)).alias("row"),
            before.scatter(old, first[first >= 0].astype(np.uint32)).alias("first"),
            rows["reason"].clone().scatter(old, reasons).alias("reason"),
        )

    def finish(self, same_id: str) -> dict[str, Any]:
        """Write what is known at the end, and give the summary.

        Raises DataError when nothing was kept, or for an id that comes twice where `same_id` is "fail".
        """
        drops = described(pl.concat(self._drops), self._folder / "sources.parquet")
        _check(self.feeds, drops, same_id)
        mended = pl.DataFrame(self._mended, MENDED, orient="row")
        shown = {
            rule: [asdict(example) for example in examples] for rule, examples in sorted(self._changes.examples.items())
        }
        write(self._folder / "drops.parquet", drops.rechunk().write_parquet)
        write(self._folder / "drops.csv", drops.write_csv)
        write(self._folder / "mended.parquet", mended.write_parquet)
        write(self._folder / "examples.json", lambda path: path.write_text(_json(shown)))
        total = sum((feed.counts for feed in self.feeds), Counts())
        summary = {
            **total.summary(),
            "missing": {name: total.missing[name] for name in self._schema if name != "row"},
            "languages": dict(sorted(total.languages.items())),
            "currencies": dict(sorted(total.currencies.items())),
            "mended": mended.height,
            "mended_by_reason": dict(sorted(mended["reason"].value_counts().iter_rows())),
            "cells_changed_by_rule": dict(sorted(self._changes.cells.items())),
            "boilerplate": [line for feed in self.feeds for line in feed.boilerplate()],
            "feeds": [
                {
                    "dialect": feed.dialect,
                    "read_as": feed.read_as,
                    "kept": feed.counts.listings,
                    **feed.counts.summary(),
                }
                for feed in self.feeds
            ],
        }
        write(self._folder / "summary.json", lambda path: path.write_text(_json(summary)))
        return summary


def write(path: Path, write: Callable[[Path], object]) -> None:
    """Aside, then renamed: a killed run leaves no half file under the final name."""
    aside = path.with_name(path.name + ".tmp")
    write(aside)
    aside.replace(path)


def _json(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, ensure_ascii=False, indent=1)


def _of_rows(parts: pl.DataFrame, index: str, rows: pl.Series) -> pl.DataFrame:
    """The parts of products that are kept, with their `row` in place of the index into the chunk."""
    return parts.with_columns(rows.gather(parts[index]).alias("row")).filter(pl.col("row").is_not_null())


def _sources(kept: pl.DataFrame, joined: pl.DataFrame, feed: int) -> pl.DataFrame:
    """Each listing's head row, then the others that are part of it."""
    heads = kept.select("row", "feed", "file", "line", pl.lit("product").alias("role"))
    if joined.is_empty():
        return heads
    others = joined.select("row", pl.lit(feed, pl.UInt32).alias("feed"), "file", "line", "role")
    return pl.concat([heads, others]).sort("row", maintain_order=True)


def _check(feeds: Sequence[Taken], drops: pl.DataFrame, same_id: str) -> None:
    total = sum((feed.counts for feed in feeds), Counts())
    if total.rows != total.listings + total.joined.total() + total.dropped.total():
        raise AssertionError(f"{total.rows} rows in, but {total.summary()}")
    double = drops.filter(pl.col("reason").is_in(["duplicate id", "exact duplicate row"]))
    if same_id == "fail" and not double.is_empty():
        at = double.row(0, named=True)
        raise DataError(
            f"catalog.feeds.{at['feed']}, line {at['line']}: the id {at['id']!r} comes a second time ({at['detail']}); "
            f"{double.height} rows have an id that came before. Correct the feed, or set catalog.same_id: keep first"
        )
    if not total.listings:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(total.dropped.items()))
        raise DataError(
            f"no listing is left of {total.rows} rows ({reasons}); check catalog.feeds.0.columns in the recipe"
        )
