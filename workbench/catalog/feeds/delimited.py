"""CSV and TSV: quotes as RFC 4180 says, delimiter found by which one splits the rows alike."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.lines import Lines
from workbench.catalog.feeds.table import BadRow, Rows, Table, excerpt

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
csv.field_size_limit(2**31 - 1)  # the default of 128 KB is less than some HTML descriptions


def read_delimited(path: Path, limit: int | None = None) -> Table:
    """Read a feed, or its first `limit` rows. A row with more or fewer cells than the header is bad, never mended."""
    delimiter = _sniff(path)
    lines = Lines(path)
    numbered = _rows(lines, delimiter)
    _, header = next(numbered, (0, []))
    rows = Rows(_distinct(header))
    starts: list[int] = []
    bad: list[BadRow] = []
    for line, row in islice(numbered, limit):
        if lines.ended:  # a row after the last line: the reader was still looking for the closing quote
            bad.append(BadRow(line, "unclosed quote", f"no closing quote up to the end: {excerpt(row[-1])}"))
        elif len(row) != len(header):
            found = f"{len(row)} cells, the header has {len(header)}: {excerpt(delimiter.join(row))}"
            bad.append(BadRow(line, "ragged row", found))
        else:
            rows.add(row)
            starts.append(line)
    read_as = f"{_NAMES[delimiter]}-separated, {lines.encoding}"
    return Table(rows.frame(), pl.Series("line", starts, pl.UInt32), tuple(bad), read_as)


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line where the row begins, cells) of every row that isn't blank."""
    reader = csv.reader(lines, delimiter=delimiter)
    start = 1
    for row in reader:
        if row:
            yield start, row
        start = reader.line_num + 1


def _sniff(path: Path) -> str:
    """The delimiter by which most of the first rows have as many cells as the header; then, the most cells.

    Counting characters would be misled by texts and header words with commas in them.
    """

    def score(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for _, row in _rows(islice(Lines(path), 200), delimiter)]
        alike = sum(width == widths[0] for width in widths)
        return (alike / len(widths), widths[0]) if widths and widths[0] > 1 else (0, 0)

    return max(_NAMES, key=score)


def _distinct(header: list[str]) -> list[str]:
    """Header words without outer space; a word that repeats gets a number, one that is empty its position."""
    names: list[str] = []
    for position, word in enumerate(header, 1):
        word = word.strip() or f"column {position}"
        name, copy = word, 1
        while name in names:
            copy += 1
            name = f"{word} ({copy})"
        names.append(name)
    return names
