"""Lines -> records of cells, one by one: the slow twin of `blocks.py`, and the one that copes with broken quotes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

PATIENCE = 2**20  # characters after which a quote that does not close is taken for one that never will
csv.field_size_limit(2**31 - 1)  # the default of 128 KB is less than some HTML descriptions


@dataclass(frozen=True)
class Record:
    """Cells, and the lines that they were on: from `first` up to before `after`."""

    first: int
    after: int
    cells: list[str]
    unclosed: bool = False  # a quote that never closes; the cells are the line split at every delimiter
    sloppy: bool = False  # quotes within a quoted cell were not doubled
    tied: bool = False  # reading may not begin afresh after it: what follows depends on a line before


def records(lines: Sequence[str], delimiter: str, quotes: bool, final: bool) -> Iterator[Record]:
    """Records by RFC 4180 (or without `quotes`), blank lines left out.

    A quote that does not close, or closes on a later line before something else than a delimiter, spoils its own line
    only: reading goes on at the next. Unless `final`, a record that may go on after the last line isn't given.
    """
    if not quotes:
        yield from (Record(i, i + 1, _split(line, delimiter)) for i, line in enumerate(lines) if line.strip("\r\n"))
        return
    at = 0
    while at < len(lines):
        source = _Patient(lines, at)
        try:
            for cells in csv.reader(source, delimiter=delimiter, strict=True):
                if cells:
                    yield Record(at, source.at, cells)
                at = source.start = source.at
            return
        except csv.Error as error:
            broke_off = "unexpected end" in str(error)
        if broke_off and not final and not source.weary:
            return
        if source.at == at + 1 and not broke_off:
            yield Record(at, at + 1, _sloppy(lines[at], delimiter), sloppy=True)
            at += 1
            continue
        # No line before the one where it broke off closes the quote well, so none of them needs a second long look.
        resume = source.at if broke_off else source.at - 1
        yield Record(at, at + 1, _split(lines[at], delimiter), unclosed=True, tied=resume > at + 1)
        yield from _alone(lines, at + 1, resume, delimiter)
        at = resume


class _Patient:
    """Gives lines to the reader, until the record that began at `start` gets too long."""

    def __init__(self, lines: Sequence[str], at: int) -> None:
        self._lines = lines
        self.at = self.start = at
        self._given = 0
        self.weary = False

    def __iter__(self) -> _Patient:
        return self

    def __next__(self) -> str:
        if self.at == self.start:
            self._given = 0
        self.weary = self._given > PATIENCE
        if self.weary or self.at == len(self._lines):
            raise StopIteration
        line = self._lines[self.at]
        self.at += 1
        self._given += len(line)
        return line


def _alone(lines: Sequence[str], at: int, end: int, delimiter: str) -> Iterator[Record]:
    """Records that are one line each."""
    for i in range(at, end):
        tied = i + 1 < end
        try:
            for cells in csv.reader([lines[i]], delimiter=delimiter, strict=True):
                if cells:
                    yield Record(i, i + 1, cells, tied=tied)
        except csv.Error as error:
            if "unexpected end" in str(error):
                yield Record(i, i + 1, _split(lines[i], delimiter), unclosed=True, tied=tied)
            else:
                yield Record(i, i + 1, _sloppy(lines[i], delimiter), sloppy=True, tied=tied)


def _sloppy(line: str, delimiter: str) -> list[str]:
    """Cells of a line whose quotes were not doubled: a quoted cell ends at the first quote before a delimiter."""
    line = line.rstrip("\r\n")
    cells, at, closes = [], 0, True
    while at <= len(line):
        end = -1
        if closes and line.startswith('"', at):
            end = line.find(f'"{delimiter}', at + 1)
            if end < 0 and line.endswith('"') and len(line) > at + 1:
                end = len(line) - 1
            closes = end >= 0
        if end >= 0:
            cells.append(line[at + 1 : end].replace('""', '"'))
            at = end + 2
        else:
            end = line.find(delimiter, at)
            end = len(line) if end < 0 else end
            cells.append(line[at:end])
            at = end + 1
    return cells


def split_lines(text: str) -> list[str]:
    """Lines with their ends, which are \\n, \\r\\n and \\r; str.splitlines() would split at U+2028 and others too."""
    return list(StringIO(text, newline=""))


def _split(line: str, delimiter: str) -> list[str]:
    return line.rstrip("\r\n").split(delimiter)
