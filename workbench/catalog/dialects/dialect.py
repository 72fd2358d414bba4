"""What a dialect is: how one shop system or data set writes a catalog, as data.

Header words are written here as they stand in feeds and compared by `words.folded`; `#` in one stands for any number,
`*` for anything: `option# name` is Option1 Name, Option2 Name, ….
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from workbench.catalog.feeds.table import BadRow
from workbench.recipe.schema import Columns

FURTHER = "further attributes"  # derived column: `name: value; …` of attributes that have no column of their own
VARIANT_PICTURES = "variant pictures"  # derived column: pictures of a product's variants, beside its own


@dataclass(frozen=True)
class SameKey:
    """Rows whose first filled cell of `words` is alike are one product, wherever they stand.

    The first with a cell in `head` is their head, else the first; a row without one in `variant` only brings pictures.
    With `language`, rows with a cell there are the product in another language, and rows of one language stay products
    of their own.
    """

    words: tuple[str, ...]
    variant: tuple[str, ...] = ("*",)
    head: tuple[str, ...] = ("*",)
    language: tuple[str, ...] = ()


@dataclass(frozen=True)
class Below:
    """A row with such a cell ("" is an empty one) in `word` plays that role for the product above it."""

    word: str
    roles: Mapping[str, str] = field(default_factory=lambda: {"": "variant"})


@dataclass(frozen=True)
class NamesParent:
    """A row with a cell in `parent` is a variant of the row that has it in a column of `keys`; `id:7` is 7 as well."""

    parent: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class ListsVariants:
    """A cell of `word` lists the row's variants as `KEY=A,size=S|KEY=B,size=M`; KEY is the column that has A and B."""

    word: str
    key: str


Grouping = SameKey | Below | NamesParent | ListsVariants


@dataclass(frozen=True)
class Named:
    """Attributes in two columns, one of names and one of values, `split` by a sign when they hold several.

    `cut`: what follows this sign in a name or value is not part of it.
    """

    name: str
    value: str
    split: str = ""
    cut: str = ""


@dataclass(frozen=True)
class Failed:
    """Rows whose filled cell of `word` is none of `passes` are no products; `why` is the column of details."""

    word: str
    passes: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Dialect:
    """One shop system's or data set's way to write a catalog."""

    name: str  # as `feed:` in a recipe names it
    about: str  # a sentence for humans
    signs: Mapping[str, float]  # header word -> weight; told by a sum of 1 or more, the greatest sum wins
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role, text.NAME or label.NAME -> header words
    ignored: tuple[str, ...] = ()  # header words without a role, whatever the general synonyms say
    grouping: tuple[Grouping, ...] = ()  # applied in this order
    attributes: tuple[Named, ...] = ()
    pairs: Mapping[str, str] = field(default_factory=dict)  # header word -> grammar (cells.PAIRS): cell -> attributes
    texts: Mapping[str, str] = field(default_factory=dict)  # header word -> grammar (cells.TEXTS): cell -> plain text
    internal: tuple[str, ...] = ()  # attributes (names, or columns of them) about the shop, not the product
    attribute_columns: tuple[str, ...] = ()  # header words before whose first `(` the name of an attribute stands
    empty: tuple[str, ...] = ()  # cells that say nothing, besides ""
    picture: str = ""  # template of the name where no column has it (pictures.fill_template): `{id:.3}/{id}.jpg`
    folders: tuple[str, ...] = ()  # where the pictures may lie below the feed (place.py); the first where none is there
    parts: Mapping[str, str] = field(default_factory=dict)  # header word -> pattern whose named groups become columns
    moved: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # new column -> words; takes the first filled cell
    digits: Mapping[str, int] = field(
        default_factory=dict
    )  # header word -> least digits of ids that lost zeros, or got `.0`
    failed: Failed | None = None  # rows that are bad, with the reason they give themselves
    order: tuple[str, ...] = ()  # header words that number the pictures, or say which one is first (true, yes, y)
    closed: bool = False  # whether a column of which nothing is known is left alone, rather than told by its cells


@dataclass(frozen=True)
class Reading:
    """How a feed is read: everything but `said` is part of the ingest key."""

    dialect: str  # "plain" where no dialect was recognised
    columns: Columns  # roles -> header words, raw or derived
    language: str | None = None  # the language asked for
    attributes: Mapping[str, str] = field(default_factory=dict)  # derived column -> name of the attribute, folded
    translated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # derived column -> columns, best first
    place: str = ""  # what stands before the name of each picture: `images/`, `images.zip::`
    currency: str = ""  # of prices that name none: an ISO code, or the column that has it
    said: tuple[str, ...] = ()  # a line for each role on how it was found


@dataclass(frozen=True)
class Products:
    """The next products of a feed, one row each. Rows read = len(cells) + len(joined) + len(bad)."""

    cells: pl.DataFrame  # String columns by header word: the raw ones, then derived ones
    lines: pl.Series  # UInt32, the line of each product's head row
    joined: pl.DataFrame  # schema JOINED: rows that are part of a product, not its head
    bad: tuple[BadRow, ...]
    read_as: str
    file: str = ""  # of the head rows
    mended: tuple[BadRow, ...] = ()  # rows that were not as they should be, and what was done


JOINED = {"index": pl.UInt32, "file": pl.String, "line": pl.UInt32, "role": pl.String}
