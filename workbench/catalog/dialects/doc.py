"""docs/feeds.md from the dialects: python -m workbench.catalog.dialects.doc > docs/feeds.md"""

from __future__ import annotations

from functools import singledispatch

from workbench.catalog.dialects.dialect import Below, Dialect, Grouping, ListsVariants, NamesParent, SameKey
from workbench.catalog.dialects.known import DIALECTS

_HEAD = """# Formats of feeds

`mlim ingest FEED` tells the format by the header words: each format has signs with weights, and the one whose signs in
the header weigh most is taken, if they weigh 1 or more. Words are compared without case, accents, spaces, `_` and `-`;
`#` stands for a number and `*` for anything. `feed: NAME` of a feed in the recipe names the format where the guess is
wrong; `feed: plain` takes every row as a product. `columns:` names the columns where their roles are guessed wrong.

- **Rows are not products.** Rows of one product become one listing: a column has the first filled cell of the
  product's own row, then of its variants. Each such row is in `sources.parquet` with its line and its role: variant,
  picture row, rule, or the language that it is in.
- **Pictures** of all its rows are in the column of pictures, the main one first, as a JSON list where there are
  several; those of variants are in a column of their own, `variant pictures`.
- **Attributes** that a format writes as names and values become columns by their names, values joined (`Size`: `S, L`);
  `NAME (attribute)` where the header has that word already. Those that the first thousand rows don't have are in
  `further attributes`, as `name: value; ...`.
- **Languages.** `catalog.language` picks the row, column or entry in that language; what is missing in it is read from
  the default one. Without it the default is read, else the first. `en`, `en_US`, `en-us` and `us` are one language.
  Columns that say their language (`name:en`, `name__en`, `name_en`, `lng:en_US:name`) are one column in any format.
- **A header that no format has** is read as `plain`: by general header words in nine languages, then by the cells.

| Format | Told by | Rows of one product | Pictures, the main one first |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The whole of docs/feeds.md."""
    return _HEAD + "\n".join(map(_row, DIALECTS)) + "\n"


def _row(dialect: Dialect) -> str:
    signs = sorted((w for w, weight in dialect.signs.items() if weight > 0), key=lambda word: -dialect.signs[word])[:6]
    grouped = "; ".join(_said(grouping) for grouping in dialect.grouping)
    pictures = [*dialect.words.get("picture", ()), *([f"by name: {dialect.picture}"] if dialect.picture else [])]
    cells = [f"**{dialect.name}**: {dialect.about}", _words(signs), grouped, _words(pictures[:4])]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _words(words: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


@singledispatch
def _said(grouping: Grouping) -> str:
    raise TypeError(grouping)


@_said.register
def _(grouping: SameKey) -> str:
    return f"same {_words(grouping.words[:3])}" + (
        f", a language in {_words(grouping.language[:2])}" * bool(grouping.language)
    )


@_said.register
def _(grouping: Below) -> str:
    roles = ", ".join(f"`{value}`" if value else "empty" for value in grouping.roles)
    return f"below it, `{grouping.word}` {roles}"


@_said.register
def _(grouping: NamesParent) -> str:
    return f"{_words(grouping.parent[:1])} names {_words(grouping.keys[:1])} of another, or `id:`"


@_said.register
def _(grouping: ListsVariants) -> str:
    return f"listed in `{grouping.word}`"


if __name__ == "__main__":
    print(page(), end="")
