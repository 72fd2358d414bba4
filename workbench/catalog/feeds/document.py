"""JSON that is one document: a list of listings, an object that holds such a list, or objects over several lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.catalog.feeds.jsonl import parse_line, read_jsonl
from workbench.catalog.feeds.lines import LONGEST, Lines
from workbench.catalog.feeds.listings import Listings
from workbench.catalog.feeds.table import CHUNK, Table, as_written, excerpt, whole

# Keys whose list of objects is the catalog; in other objects such a list is an attribute (variants, images).
_WORDS = "products items listings data results records rows entries entry catalog articles offers"
_CATALOGS = frozenset(_WORDS.split())
_BLANK = re.compile(r"[ \t\r\n,]*")
_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t\r\n]*:[ \t\r\n]*')
_OPENS = re.compile(r"\[[ \t\r\n]*\{")
_NAMED = re.compile(rf'(?i)"({_WORDS.replace(" ", "|")})"\s{{0,99}}:\s{{0,99}}[\[{{]')
_DEPTH = 6  # objects around a listing
_HEAD = 2**20  # characters; an object that is larger holds listings


def read_document(path: Path, limit: int | None = None) -> Iterator[Table]:
    """Stream the listings of a document, or the first `limit`; those of an object of objects get its key as `key`.

    What comes after a syntax error can't be told apart: it is one bad row. A `.json` that has one object a line is
    read as JSON lines.
    """
    if _one_a_line(path):
        yield from read_jsonl(path, limit)
        return
    found, lines = Listings(path), Lines(path)
    for line, listing, fault in islice(_listings(_Cursor(lines)), limit):
        if listing is None:
            found.add_bad(line, "broken JSON", fault)
        else:
            found.add(line, listing)
        if found.rows == CHUNK:
            yield from found.tables(f"JSON, {lines.encoding}")
    yield from found.tables(f"JSON, {lines.encoding}")


def _one_a_line(path: Path) -> bool:
    """Whether most of the first lines, and more than one, are objects by themselves."""
    lines = [line for line in next(iter(Lines(path)), b"").splitlines()[:50] if line.strip()]
    objects = 0
    for line in lines:
        with suppress(ValueError, RecursionError):
            parse_line(line)
            objects += 1
    return objects > max(1, len(lines) // 2)


Found = tuple[int, dict[str, Any] | None, str]  # line, the listing, or else what was found


class _Cursor:
    """A place in the text, which is read as far as needed."""

    def __init__(self, lines: Lines) -> None:
        self._source = iter(lines)
        self.text, self.at, self.ended = "", 0, False
        self._line, self._counted = 1, 0
        self.more()

    @property
    def line(self) -> int:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def more(self) -> None:
        """Let go of what was read, and take in as much again as is left."""
        self._line, self.text = self.line, self.text[self.at :]
        self.at = self._counted = 0
        parts, size = [self.text], 0
        while size <= len(self.text) and not self.ended:
            block = next(self._source, None)
            self.ended = block is None
            parts.append((block or b"").decode())
            size += len(parts[-1])
        self.text = "".join(parts)

    def next(self) -> str:
        """The next sign that is neither blank nor a comma; "" at the end."""
        while True:
            self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more()

    def value(self) -> Any:
        """The JSON value that begins here, and go behind it. Raises ValueError or RecursionError if there is none."""
        while True:
            try:
                value, end = as_written.raw_decode(self.text, self.at)
                if end < len(self.text) or self.ended:
                    value = whole(value, self.text[self.at : end])
                    self.at = end
                    return value
            except ValueError:
                if self.ended or len(self.text) - self.at > LONGEST:
                    raise
            self.more()

    def peek(self) -> tuple[dict[str, Any] | None, int]:
        """The object that begins here, if it is whole and not too large, and its end."""
        while len(self.text) - self.at < _HEAD and not self.ended:
            self.more()
        try:
            value, end = as_written.raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            return None, self.at
        return whole(value, self.text[self.at : end]), end

    def sees(self, pattern: re.Pattern[str]) -> bool:
        """Whether the text from here matches a short pattern."""
        while len(self.text) - self.at < 4096 and not self.ended:
            self.more()
        return bool(pattern.match(self.text, self.at))

    def key(self) -> str:
        """The key that begins here, and go to its value."""
        while not (match := _KEY.match(self.text, self.at)) or (match.end() == len(self.text) and not self.ended):
            if self.ended or len(self.text) - self.at > LONGEST:
                raise ValueError("no key and colon")
            self.more()
        self.at = match.end()
        return match[1]


def _listings(cursor: _Cursor) -> Iterator[Found]:
    try:
        while sign := cursor.next():
            if sign == "[":
                yield from _list(cursor)
            elif sign == "{":
                yield from _object(cursor, {})
            else:
                raise ValueError("neither a list nor an object")
    except (ValueError, RecursionError) as error:
        rest = cursor.text[cursor.at : cursor.at + 200]
        yield cursor.line, None, f"{str(error).split(': line')[0]}, nothing after it can be read: {excerpt(rest)}"


def _list(cursor: _Cursor) -> Iterator[Found]:
    cursor.at += 1
    while cursor.next() != "]":
        line, value = cursor.line, cursor.value()
        if isinstance(value, dict) and value:
            yield line, value, ""
        else:
            yield line, None, f"no object with keys: {excerpt(json.dumps(value))}"
    cursor.at += 1


def _object(cursor: _Cursor, key: dict[str, str], depth: int = 0) -> Iterator[Found]:
    """A listing, or an object of listings. Of the latter all values are taken, or those under a catalog's name."""
    if depth > _DEPTH:
        raise ValueError(f"no listing within {_DEPTH} objects")
    line, (value, end) = cursor.line, cursor.peek()
    named = _holds_catalog(value) if value else bool(_NAMED.search(cursor.text, cursor.at))
    if value is None or named or (value and all(_objects(inner) for inner in value.values())):
        yield from _inside(cursor, not named, depth + 1)
    else:
        yield (line, key | value, "") if value else (line, None, "an object without keys")
        cursor.at = end


def _inside(cursor: _Cursor, every: bool, depth: int) -> Iterator[Found]:
    cursor.at += 1
    while cursor.next() != "}":
        name = cursor.key()
        taken = every or name.lower() in _CATALOGS
        if taken and cursor.next() == "[" and cursor.sees(_OPENS):
            yield from _list(cursor)
        elif taken and cursor.next() == "{":
            yield from _object(cursor, {"key": name}, depth)
        else:
            cursor.value()
    cursor.at += 1


def _holds_catalog(value: dict[str, Any]) -> bool:
    return any(
        key.lower() in _CATALOGS and (_objects(inner) if isinstance(inner, list) else _wraps(inner))
        for key, inner in value.items()
    )


def _wraps(value: Any) -> bool:
    return isinstance(value, dict) and _holds_catalog(value)


def _objects(value: Any) -> bool:
    """Whether it is an object, or a list that begins with one."""
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))
