"""How a feed is to be read, from its head: the dialect its header speaks, and the role that each column plays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.catalog.dialects import attributes
from workbench.catalog.dialects.dialect import FURTHER, VARIANT_PICTURES, Dialect, Reading, SameKey
from workbench.catalog.dialects.group import Rows, alone, grouped
from workbench.catalog.dialects.known import PLAIN, dialect_named, recognised
from workbench.catalog.dialects.language import translations
from workbench.catalog.dialects.money import currency_of
from workbench.catalog.dialects.pictures import split_pictures
from workbench.catalog.dialects.place import place
from workbench.catalog.dialects.products import has_attributes, prepared, tables
from workbench.catalog.dialects.roles import Roles
from workbench.catalog.dialects.words import IGNORED, WORDS, matching, twins
from workbench.catalog.feeds.table import joined
from workbench.recipe.schema import Columns, Feed

_HEAD = 1000  # rows that are looked at


@dataclass(frozen=True)
class Head:
    """The first rows of a feed as its dialect prepares them."""

    cells: pl.DataFrame
    raw: tuple[str, ...]  # header words, without derived columns
    rows: Rows
    attributes: dict[str, str]
    translated: dict[str, tuple[str, ...]]
    whole: bool  # whether the feed has no more rows

    @property
    def products(self) -> pl.DataFrame:
        """The products' own rows."""
        return self.cells.filter(pl.Series([row == head for row, head in enumerate(self.rows.head)], dtype=pl.Boolean))


def look(feed: Feed, key: str, language: str | None = None, given: Mapping[str, str] | None = None) -> Reading:
    """How the feed is to be read; `given` are header words of roles (id, title) that are not to be guessed.

    Raises DataError, naming the recipe key of the feed, for an unknown format, and when no id or no title can be found.
    """
    cells = joined(list(tables(feed, _HEAD))).cells
    dialect = dialect_named(feed.feed, f"{key}.feed") if feed.feed else recognised(cells.columns)
    head = _prepared(cells, dialect, language)
    if dialect is PLAIN and not feed.feed and _speaks_languages(head.cells):
        dialect = dialect_named("languages")
        head = _prepared(cells, dialect, language)
    said: tuple[str, ...] = () if dialect is PLAIN else (f"read as {dialect.name}: {dialect.about}",)
    columns = feed.columns
    if columns is None:
        columns, lines = _columns(feed, key, dialect, head, given or {})
        said += lines
    where = _place(feed, dialect, columns, head)
    currency = currency_of(columns.price, head.raw)
    return Reading(dialect.name, columns, language, head.attributes, head.translated, where, currency, said)


def _prepared(cells: pl.DataFrame, dialect: Dialect, language: str | None) -> Head:
    every = (*dialect.words.values(), *WORDS.values(), *IGNORED.values())
    known = matching([word for words in every for word in words if "*" not in word], cells.columns)
    ways = translations(cells.columns, language, known)
    translated = twins(cells.columns) | {_free(base, language, cells.columns): words for base, words in ways.items()}
    ready = prepared(cells, dialect, language, translated)
    rows = grouped(ready, dialect.grouping, language) if dialect.grouping else alone(ready.height)
    named: dict[str, str] = {}
    if has_attributes(ready.columns, dialect):
        named = attributes.named_columns(attributes.attributes_of(ready, dialect, rows), ready.columns)
    return Head(ready, tuple(cells.columns), rows, named, translated, cells.height < _HEAD)


def _free(base: str, language: str | None, header: list[str]) -> str:
    """A name for the column of several languages."""
    return (f"{base} (in {language})" if language else f"{base} (of any)") if base in header else base


def _speaks_languages(cells: pl.DataFrame) -> bool:
    """Whether rows of one id are there in several languages."""
    ids, tongues = (matching(WORDS[role], cells.columns)[:1] for role in ("id", "language"))
    if not ids or not tongues:
        return False
    named = cells.filter(pl.col(ids[0]).str.contains(r"\S"))
    return bool((named.group_by(ids[0]).agg(pl.col(tongues[0]).n_unique())[tongues[0]] > 1).any())


def _columns(
    feed: Feed, key: str, dialect: Dialect, head: Head, given: Mapping[str, str]
) -> tuple[Columns, tuple[str, ...]]:
    roles = Roles(dialect, head.products)
    for role, word in given.items():
        roles.give(role, word)
    for column, words in head.translated.items():
        roles.stand_for(column, words)
    named = [word for words in dialect.words.values() for word in words]
    for column, words in dialect.moved.items():
        roles.stand_for(column, [w for w in matching(words, head.raw) if not matching(named, [w])])
    roles.spend()
    roles.by_words()
    roles.by_attributes(head.attributes, FURTHER if has_attributes(head.raw, dialect) and not head.whole else None)
    own_rows = any(not isinstance(grouping, SameKey) for grouping in dialect.grouping)
    if matching(dialect.words.get(VARIANT_PICTURES, ()), head.raw) or (own_rows and roles.has_picture):
        roles.add_pictures(VARIANT_PICTURES, "pictures of variants")
    roles.by_cells()
    return roles.columns(str(feed.path or feed.dataset or feed.database), key, head.raw)


def _place(feed: Feed, dialect: Dialect, columns: Columns, head: Head) -> str:
    """Where the pictures lie, seen from the folder in which they are looked for."""
    home = feed.path if feed.path is None or feed.path.is_dir() else feed.path.parent
    root = feed.pictures or home
    words = [w for w in (columns.picture, *columns.pictures) if w in head.cells.columns]
    if root is None or not words:
        return ""
    names = pl.concat([split_pictures(head.cells[w]).explode() for w in words]).drop_nulls()
    return place(root, names, dialect.folders, published=root == home)


def recipe_tree(feed: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The recipe for a bare feed as plain values, its paths relative to the feed's folder; and how it was guessed."""
    found = look(Feed(path=feed), "catalog.feeds.0")
    entry: dict[str, Any] = {"path": feed.name}
    said = found.said
    if found.dialect != PLAIN.name:
        entry["feed"] = found.dialect
    if found.columns.picture:
        entry["pictures"] = pictures_beside(feed)
        said += (f"pictures are looked for in {entry['pictures']}",)
    entry["columns"] = found.columns.model_dump(exclude_defaults=True, mode="json")
    return {"name": feed.name.split(".")[0], "catalog": {"feeds": [entry]}}, said


def pictures_beside(feed: Path) -> str:
    """Where the pictures of a bare feed are, seen from its folder: an archive named like the feed, else the folder."""
    stem = feed.name.split(".")[0]
    archives = (name for name in (f"{stem}.zip", f"{stem}.tar") if name != feed.name and (feed.parent / name).exists())
    return feed.name if feed.is_dir() else next(archives, ".")
