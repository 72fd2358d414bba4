"""JSON lines: one object a line, its numbers kept as they are written."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from workbench.catalog.feeds.lines import Lines
from workbench.catalog.feeds.listings import Listings
from workbench.catalog.feeds.table import CHUNK, Table, excerpt, first_rows, parse_json, whole

_fast = msgspec.json.Decoder(float_hook=str).decode
_PYTHON = re.compile(rb"\s*\{u?'")
_MINUS_ZERO = re.compile(rb"-0[,\]}\s]")


def read_jsonl(path: Path, limit: int | None = None) -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows. A line that holds no object is bad ("broken JSON")."""
    left = limit
    for table in _tables(Lines(path)):
        table = table if left is None else first_rows(table, left)
        yield table
        left = None if left is None else left - table.rows
        if left == 0:
            return


def _tables(lines: Lines) -> Iterator[Table]:
    found, before = Listings(lines.path), 0
    for block in lines:
        split = block.splitlines()
        if len(split) <= CHUNK and (listings := _all(block, split)) is not None:
            found.extend(range(before + 1, before + 1 + len(split)), listings)
        else:
            for number, line in enumerate(split, before + 1):
                _add(found, number, line)
                if found.rows == CHUNK:
                    yield from found.tables(f"JSON lines, {lines.encoding}")
        before += len(split)
        if found.rows:
            yield from found.tables(f"JSON lines, {lines.encoding}")


def _all(block: bytes, lines: list[bytes]) -> list[dict[str, Any]] | None:
    """The objects of a block in which every line is one that the fast decoder reads as the slow one does."""
    if _MINUS_ZERO.search(block):
        return None
    try:
        values = [_fast(line) for line in lines]
    except (ValueError, RecursionError):
        return None
    return values if set(map(type, values)) == {dict} and all(values) else None


def _add(found: Listings, number: int, line: bytes) -> None:
    try:
        found.add(number, parse_line(line))
    except (ValueError, RecursionError) as error:
        if line.strip():
            found.add_bad(number, "broken JSON", f"{error}: {excerpt(line.decode())}")


def parse_line(line: bytes) -> dict[str, Any]:
    """The object of a line, its numbers as text (whole ones perhaps as int).

    Raises ValueError or RecursionError where it is none. What the fast decoder refuses (NaN, half a surrogate pair) or
    reads otherwise (-0) is read by the slow one; a dict that Python printed, as Amazon's reviews before 2018, as such.
    """
    try:
        value = parse_slowly(line.decode()) if _MINUS_ZERO.search(line) else _fast(line)
    except (ValueError, RecursionError):
        value = parse_python(line.decode()) if _PYTHON.match(line) else parse_slowly(line.decode())
    if not isinstance(value, dict):
        raise ValueError("no object in braces")
    if not value:
        raise ValueError("an object without keys")
    return value


def parse_python(line: str) -> Any:
    """A dict of literals as Python prints it, its numbers as text. Raises ValueError or RecursionError."""
    try:
        return parse_json(json.dumps(ast.literal_eval(line.strip())))
    except (SyntaxError, TypeError, MemoryError) as error:
        raise ValueError(f"no dict of Python: {error}") from None


def parse_slowly(line: str) -> Any:
    """The slow twin of msgspec's decoder: all numbers as text, NaN too, U+FFFD for half a surrogate pair."""
    return whole(parse_json(line.strip()), line)
