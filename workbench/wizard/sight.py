"""What a feed is, found by reading it: its format, its columns and what they hold, its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from workbench.catalog.dialects.dialect import Reading
from workbench.catalog.dialects.language import language as language_of_tag
from workbench.catalog.dialects.language import language_in
from workbench.catalog.dialects.look import look
from workbench.catalog.dialects.products import products, tables
from workbench.catalog.feeds.table import joined
from workbench.forecast.counts import rows_in
from workbench.recipe.schema import Columns, Feed
from workbench.wizard.cells import Column, Label, columns_of, groups_of, labels_of, languages_of, words_of
from workbench.wizard.pictures import Pictures, names_of, pictures_seen

LANGUAGE = "language "  # role of a row that is a product in another one
LOOKED = 100_000  # products that are looked at
HEAD = 1000  # rows that tell the header


@dataclass(frozen=True)
class Sight:
    """A feed as it was seen."""

    feed: Feed
    named: Mapping[str, str]  # roles whose header word the user gave
    reading: Reading
    read_as: str  # format, delimiter, encoding
    products: int  # that were looked at
    rows: int  # that were read for them
    bad: int  # of these, that can't be read
    total: int  # products of the whole feed: those, or about so many
    columns: list[Column]
    labels: list[Label]
    groups: Mapping[str, int]  # group and code -> values that several products share
    languages: Mapping[str, float]  # ISO code -> share of the products
    tongues: tuple[str, ...]  # languages that the feed has of the same products, if several
    words: tuple[float, float]  # of a product's texts: on average, and of the longest 5 in 100
    names: list[str]  # of the main pictures, as the feed has them
    pictures: Pictures

    @property
    def whole(self) -> bool:
        """Whether the feed has no more than was looked at."""
        return self.total == self.products

    @property
    def web(self) -> int:
        """Main pictures of the whole feed that are web addresses."""
        return round(self.pictures.web * self.total / max(self.products, 1))

    @property
    def roles(self) -> Columns:
        return self.reading.columns


def see(feed: Feed, roles: Mapping[str, str] | None = None, language: str | None = None) -> Sight:
    """Look at a feed; `roles` (id, title) are header words where the user has named them, `language` the one to read.

    Raises DataError where it can't be read, and where no id or no title is found.
    """
    reading = look(feed, "catalog.feeds.0", language, roles)
    chunks, count, rows, bad = list[pl.DataFrame](), 0, 0, 0
    read_as, whole, spoken = "", True, set[str]()
    for chunk in products(feed, reading):
        if count >= LOOKED:
            whole = False
            break
        chunks.append(chunk.cells)
        count, rows = count + chunk.cells.height, rows + chunk.cells.height + chunk.joined.height + len(chunk.bad)
        spoken.update(chunk.joined["role"].unique())
        bad, read_as = bad + len(chunk.bad), read_as or chunk.read_as
    cells, columns = pl.concat(chunks, how="diagonal"), reading.columns
    names = names_of(cells, columns)
    total = count if whole else int(float(f"{max(count + 1, rows_in(feed) * count / rows):.2g}"))
    return Sight(
        feed,
        roles or {},
        reading,
        read_as,
        count,
        rows,
        bad,
        total,
        columns_of(cells, columns),
        labels_of(cells, columns),
        {role: groups_of(cells, getattr(columns, role)) for role in ("group", "code")},
        languages_of(cells, columns),
        _tongues(reading, spoken),
        words_of(cells, columns),
        names,
        pictures_seen(feed, names),
    )


def _tongues(reading: Reading, roles: set[str]) -> tuple[str, ...]:
    """By the rows that are a product in another language, and by the columns that name theirs."""
    tags = [role.removeprefix(LANGUAGE) for role in roles if role.startswith(LANGUAGE)]
    rows = {code for tag in tags if (code := language_of_tag(tag))}
    words = {code for words in reading.translated.values() for word in words if (code := language_in(word))}
    return tuple(sorted(rows | words)) if rows or len(words) > 1 else ()


def header_of(feed: Feed) -> list[str]:
    """The header words of a feed. Raises DataError where it can't be read."""
    cells = joined(list(tables(feed, HEAD))).cells
    return [word for word in cells.columns if cells[word].null_count() < cells.height]
