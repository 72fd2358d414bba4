"""What a dialect is: how one shop system or data set writes a catalog, as data.

Header words are written here as they stand in feeds; they are compared by `words.folded`, and `#` in one stands for
any number: `option# name` is Option1 Name, Option2 Name, ….
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from workbench.catalog.feeds.table import BadRow
from workbench.recipe.schema import Columns


@dataclass(frozen=True)
class SameKey:
    """Rows whose first non-empty cell of `words` is alike are one product, wherever they stand.

    With `language`, rows with a cell there are that product in another language.
    """

    words: tuple[str, ...]
    language: tuple[str, ...] = ()


@dataclass(frozen=True)
class Below:
    """A row whose cell of `word` is one of `values` ("" is an empty one) belongs to the product above it."""

    word: str
    values: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class NamesParent:
    """A row with a cell in `parent` belongs to the row that has it in one of `keys`; `id:KEY` is one of the last."""

    parent: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class ListsChildren:
    """A product's cell of `word` lists its variants, `sku=A,size=S|sku=B,size=M`; `key` is the column of these."""

    word: str
    key: str


Grouping = SameKey | Below | NamesParent | ListsChildren


@dataclass(frozen=True)
class Dialect:
    """One shop system's or data set's way to write a catalog."""

    name: str  # as `feed:` in a recipe names it
    about: str  # a sentence for humans
    signs: Mapping[str, float]  # header word -> weight; told by a sum of 1 or more, the greatest sum wins
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role, text.NAME or label.NAME -> header words
    ignored: tuple[str, ...] = ()  # header words without a role, whatever the general synonyms say
    grouping: tuple[Grouping, ...] = ()  # applied in this order
    attributes: tuple[tuple[str, str], ...] = ()  # header words of an attribute's name and of its value
    pairs: Mapping[str, str] = field(default_factory=dict)  # header word -> grammar (cells.PAIRS): cell -> attributes
    texts: Mapping[str, str] = field(default_factory=dict)  # header word -> grammar (cells.TEXTS): cell -> plain text
    empty: tuple[str, ...] = ()  # cells that say nothing, besides ""
    picture: str = ""  # template of the picture's name from other cells: `images/{article_id:.3}/{article_id}.jpg`


@dataclass(frozen=True)
class Reading:
    """How a feed is read: everything but `said` is part of the ingest key."""

    dialect: str  # "plain" where no dialect was recognised
    columns: Columns  # roles -> header words, raw or derived
    language: str | None = None  # the language asked for
    attributes: Mapping[str, str] = field(default_factory=dict)  # derived column -> name of the attribute in the cells
    translated: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # derived column -> columns, first filled wins
    said: tuple[str, ...] = ()  # a line for each role on how it was found


@dataclass(frozen=True)
class Products:
    """The next products of a feed, one row each. Rows read = len(cells) + len(joined) + len(bad)."""

    cells: pl.DataFrame  # String columns by header word: the raw ones, then derived ones
    lines: pl.Series  # UInt32, the line of each product's head row
    joined: (
        pl.DataFrame
    )  # index UInt32 into cells, file, line UInt32, role: rows that are part of a product, not its head
    bad: tuple[BadRow, ...]
    read_as: str
    file: str = ""  # of the head rows


JOINED = {"index": pl.UInt32, "file": pl.String, "line": pl.UInt32, "role": pl.String}
