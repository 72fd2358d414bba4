"""Header words, and how a row that has more or fewer cells than they may be made to fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Columns of running text, in which a delimiter may stand unquoted; folded by `_folded`.
_WORDS = (
    "title name productname producttitle productdisplayname displayname itemname prodname designation description "
    "productdescription itemdescription detaildesc body bodyhtml summary shortdescription longdescription caption text "
    "bezeichnung beschreibung titel produktname nom libelle titre nombre descripcion titulo nome descrizione titolo "
    "naam omschrijving название наименование описание"
)
_TEXTS = frozenset(_WORDS.split())


@dataclass(frozen=True)
class Header:
    """Names of the columns, each once, and what may be done with an uneven row."""

    names: tuple[str, ...]
    unnamed: int  # columns at the end that have no header word
    text: int | None  # the only column that may hold unquoted delimiters, where there is exactly one

    def even(self, cells: list[str]) -> bool:
        """Whether the row has a cell for each header word, and no more than may be."""
        width = len(self.names)
        return width - self.unnamed <= len(cells) and not any(cells[width:])

    def fit(self, cells: list[str], delimiter: str) -> list[str] | None:
        """The row with as many cells as the header, or None where that would be a guess.

        Empty cells at the end beyond the header, and missing ones under no word, mean nothing. Further cells belong
        to the one column of running text (its delimiters weren't quoted), if it is the last or what follows each
        delimiter looks like prose.
        """
        width = len(self.names)
        while len(cells) > width and not cells[-1]:
            cells = cells[:-1]
        if self.even(cells):
            return cells + [""] * (width - len(cells))
        if len(cells) < width or self.text is None:
            return None
        after = self.text + 1 + len(cells) - width
        parts = cells[self.text : after]
        prose = all(part.startswith(" ") and part.strip() for part in parts[1:])
        if self.text < width - 1 and not prose:
            return None
        return [*cells[: self.text], delimiter.join(parts), *cells[after:]]


def header(words: Sequence[str]) -> Header:
    """A word that repeats gets a number, one that is empty its position. Rows of a header that ends in running text
    and then in empty words have their further cells there because of unquoted delimiters: these words are cut off.
    """
    words = [word.strip() for word in words]
    said = len(words)
    while said and not words[said - 1]:
        said -= 1
    if said and _folded(words[said - 1]) in _TEXTS:
        words = words[:said]
    texts = [i for i, word in enumerate(words) if _folded(word) in _TEXTS]
    return Header(_distinct(words), len(words) - said, texts[0] if len(texts) == 1 else None)


def _distinct(words: Sequence[str]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    copies: dict[str, int] = {}
    for position, word in enumerate(words, 1):
        name = word = word or f"column {position}"
        while name in names:
            copies[word] = copies.get(word, 1) + 1
            name = f"{word} ({copies[word]})"
        names[name] = None
    return tuple(names)


def _folded(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())
