"""The roles that columns seem to play: by the dialect's header words, by general ones, then by the cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import polars as pl

from workbench.catalog.dialects.dialect import VARIANT_PICTURES, Dialect
from workbench.catalog.dialects.escapes import PAIRS
from workbench.catalog.dialects.products import NAMED_PICTURE
from workbench.catalog.dialects.words import IGNORED, WORDS, folded, matching
from workbench.errors import DataError
from workbench.recipe.schema import Columns

_PICTURE = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?|avif|heic)([?#].*)?$", re.IGNORECASE)
_HELD = re.compile(r'(\[")?[^"]+::\d+::[^"]+')  # CONTAINER::ROW::COLUMN, or a list of such
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,\s]+([a-z]{3}|[$€£%])?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{4}")
_CODED = re.compile(r"gid://\S*|true|false|[\[{].*", re.IGNORECASE | re.DOTALL)
_ROW_NUMBERS = ("unnamed*#", "column #", "index", "idx", "row", "row number", "row id", "_id")
_INSTEAD_OF_AN_ID = ("slug", "url key", "url", "link", "product url", "permalink")


class Roles:
    """Columns and their roles, found step by step; a column that has one, or is known to have none, is not left."""

    def __init__(self, dialect: Dialect, products: pl.DataFrame) -> None:
        self._dialect = dialect
        self._rows = products.height
        self._left = {word: [c.strip() for c in products[word] if c and c.strip()] for word in products.columns}
        self._one: dict[str, str] = {}
        self._pictures: list[str] = []
        self._several: dict[str, dict[str, str]] = {"text": {}, "label": {}}
        self._said: list[tuple[str, str, str]] = []
        self._all = dict(self._left)

    def _give(self, role: str, word: str, why: str) -> None:
        """`brand` and `Brand` are two columns: the second becomes `brand (2)`."""
        kind, _, name = role.partition(".")
        if name:
            found = self._several[kind]
            copies = (name, *(f"{name} ({copy})" for copy in range(2, len(found) + 2)))
            unique = next(copy for copy in copies if copy not in found)
            found[unique], role = word, f"{kind} {unique}"
        elif role == "pictures":
            self._pictures.append(word)
        else:
            self._one[role] = word
        self._said.append((role, word, why))
        self._left.pop(word, None)

    def give(self, role: str, word: str) -> None:
        """As the user says."""
        self._give(role, word, "given")

    def _ignore(self, words: Sequence[str], why: str) -> None:
        for word in words:
            self._said.append(("ignored", word, why))
            self._left.pop(word, None)

    def stand_for(self, column: str, words: Sequence[str]) -> None:
        """A derived column stands in place of those it is read from."""
        self._ignore([w for w in words if w in self._left and w != column], f"read through '{column}'")

    @property
    def has_picture(self) -> bool:
        return "picture" in self._one

    def add_pictures(self, column: str, why: str) -> None:
        self._give("pictures" if "picture" in self._one else "picture", column, why)

    def spend(self) -> None:
        """Columns of which attributes are read play no role themselves, but for those that the dialect gives one."""
        dialect = self._dialect
        spent = [word for named in dialect.attributes for word in (named.name, named.value)]
        listed = [word for said, grammar in dialect.pairs.items() for word in self._listed(said, PAIRS[grammar])]
        words = [*self._matching([*spent, *dialect.attribute_columns]), *listed]
        keep = matching([w for words in dialect.words.values() for w in words], words)
        self._ignore([w for w in words if w not in keep], "names or values of attributes")

    def _listed(self, said: str, pairs: Callable[[str], Sequence[object]]) -> list[str]:
        """The columns of this word whose cells, if they have any, are lists of attributes."""
        found = {word: self._left[word][:50] for word in self._matching([said])}
        return [word for word, cells in found.items() if not cells or any(pairs(cell) for cell in cells)]

    def by_attributes(self, named: dict[str, str], further: str | None) -> None:
        """Attributes that became columns are texts, or labels where their names are known as such."""
        known = {folded(word): role for role, words in reversed(list(WORDS.items())) if "." in role for word in words}
        for column, name in named.items():
            text = re.sub(r" \(attribute\)$", "", column).strip().lower()
            self._give(known.get(name, f"text.{text}"), column, "attribute")
        if further is not None:
            self._give("text.further", further, "attributes that the feed's head has not")

    def by_words(self) -> None:
        """Header words: the dialect's, then the general ones; where a role has several, the first plays it."""
        own = self._dialect.words
        known = [word for words in own.values() for word in words]
        self._ignore([w for w in self._matching(self._dialect.ignored) if not matching(known, [w])], "shop's own")
        self._ignore(self._matching(own.get(VARIANT_PICTURES, ())), f"read through '{VARIANT_PICTURES}'")
        for role in dict.fromkeys([*WORDS, *own]):
            if own.get(role) != () and role not in self._one:  # else the dialect has no such role, or it is given
                for word in self._playing(role, self._matching([*own.get(role, ()), *WORDS.get(role, ())])):
                    self._give(role, word, "header word")
        if "picture" not in self._one and NAMED_PICTURE in self._left:
            self._give("picture", NAMED_PICTURE, "named after other cells")
        if "picture" not in self._one and self._pictures:
            self._one["picture"] = self._pictures.pop(0)
        for role, words in WORDS.items():
            self._ignore(self._matching(words) if "." not in role else [], f"another {role}")
        for reason, words in IGNORED.items():
            self._ignore(self._matching(words), reason)
        self._ignore([w for w in self._matching(_ROW_NUMBERS) if self._numbers_rows(w)], "numbers of the rows")

    def _matching(self, words: Sequence[str]) -> list[str]:
        return matching(words, list(self._left))

    def _playing(self, role: str, found: list[str]) -> list[str]:
        """Which of the columns that match play the role."""
        if role == "id":
            return self._telling(found)
        if role == "pictures":
            numbered = [word for word in self._dialect.words.get("picture", ()) if "#" in word]
            return self._one_a_number([*found, *(w for w in self._matching(numbered) if w not in found)])
        found = sorted(found, key=lambda word: not self._left[word])  # those without a cell last
        stems = [re.sub(r"\d+", "#", folded(word)) for word in found]
        more = [word for word, stem in zip(found, stems, strict=True) if stem == stems[0]][1:]
        return found[:1] + (more if "." in role else [])

    def _telling(self, words: list[str]) -> list[str]:
        """The first of these columns that has a cell in most rows, none of them twice; else the first."""
        cells = {word: self._left[word] for word in words}
        full = [w for w in words[:1] if len(cells[w]) > self._rows / 2]
        full += [w for w in words if len(set(cells[w])) > self._rows / 2 and len(set(cells[w])) == len(cells[w])]
        return [*full, *words][:1]

    def _one_a_number(self, words: list[str]) -> list[str]:
        """`image url 1` and `image file 1` name the same picture; the first counts."""
        numbers = {word: tuple(re.findall(r"\d+", folded(word))) for word in words}
        seen = {tuple(re.findall(r"\d+", folded(self._one.get("picture", ""))))}
        kept = []
        for word, number in numbers.items():
            if number == () or number not in seen:
                kept.append(word)
            seen.add(number)
        return kept

    def _numbers_rows(self, word: str) -> bool:
        cells = self._left[word]
        return bool(cells) and cells in ([str(row + first) for row in range(len(cells))] for first in (0, 1))

    def by_cells(self) -> None:
        """What header words left open; of a closed dialect only the id, the title and pictures that the feed holds."""
        closed = self._dialect.closed
        for held in [w for w, v in self._left.items() if _held(v)]:
            self.add_pictures(held, "pictures that the feed holds")
        links = {w: self._all[w] for w in matching(IGNORED["address"], list(self._all)) if w not in self._one.values()}
        pictures = [w for w, v in (self._left | links).items() if _pictures(v)]
        for word in pictures[:1] if not (closed or self.has_picture) else ():
            self._said = [line for line in self._said if line[1] != word]
            self._give("picture", word, "cells: names of picture files")
        if "id" not in self._one:
            self._id_by_cells()
        if "title" not in self._one:
            self._title_by_cells()
        for word, values in self._readable().items() if not closed else ():
            if 1 < len(set(values)) <= len(values) / 5:
                self._give(f"label.{word}", word, "cells: few values")
            elif _words(values) >= 2:
                self._give(f"text.{word}", word, "cells: words")
        self._ignore(list(self._left), "not known" if closed else "unknown word, nothing to read in its cells")

    def _readable(self) -> dict[str, list[str]]:
        return {word: values for word, values in self._left.items() if values and not _data(values)}

    def _id_by_cells(self) -> None:
        for word in [w for w, v in self._left.items() if _ids(v, self._rows)][:1]:
            return self._give("id", word, "cells: unique and short")
        played = [self._one[role] for role in ("code", "picture") if self._one.get(role) in self._all]
        instead = {word: self._all[word] for word in (*matching(_INSTEAD_OF_AN_ID, list(self._all)), *played)}
        for word in [w for w, v in instead.items() if len(set(v)) == len(v) == self._rows][:1]:
            self._give("id", word, "no other column tells products apart")

    def _title_by_cells(self) -> None:
        text, readable = self._several["text"], self._readable()
        for name in [n for n in ("summary", "description") if n in text][:1]:
            word = text.pop(name)
            self._said = [line for line in self._said if line[1] != word]
            return self._give("title", word, "no column is a title")
        wordiest = max(readable, key=lambda w: _words(readable[w]), default=None)
        if wordiest and _words(readable[wordiest]) >= 1.5:
            self._give("title", wordiest, "cells: most words")

    def columns(self, name: str, key: str, header: Sequence[str]) -> tuple[Columns, tuple[str, ...]]:
        """The roles, and a line for each column. DataError, naming the recipe key, without an id or a title."""
        if missing := [role for role in ("id", "title") if role not in self._one]:
            raise DataError(
                f"{name}: found no column for the {' and the '.join(missing)}; header words: {', '.join(header)}. "
                f"Write a recipe that names them: {', '.join(f'{key}.columns.{role}' for role in missing)}"
            )
        width = max(len(role) for role, _, _ in self._said)
        lines = tuple(f"{role:<{width}} <- '{word}' ({why})" for role, word, why in self._said)
        found = Columns(
            **self._one, pictures=tuple(self._pictures), text=self._several["text"], labels=self._several["label"]
        )
        return found, lines


def _pictures(values: list[str]) -> bool:
    return sum(bool(_PICTURE.search(v)) for v in values) > len(values) / 2


def _held(values: list[str]) -> bool:
    return bool(values) and all(_HELD.match(v) for v in values)


def _data(values: list[str]) -> bool:
    """Addresses, numbers, prices, dates or codes: nothing to read."""
    patterns = (_NUMBER, _DATE, _CODED)
    return all(_ADDRESS.match(v) or any(p.fullmatch(v) for p in patterns) for v in values)


def _ids(values: list[str], rows: int) -> bool:
    return len(set(values)) == len(values) == rows and all(len(v) <= 40 and " " not in v for v in values)


def _words(values: list[str]) -> float:
    return sum(len(v.split()) for v in values) / len(values)
