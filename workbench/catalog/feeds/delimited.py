"""CSV and TSV in a stream: blocks of records at once where their quotes are in order, one by one where they aren't."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.blocks import Block, parse, sound_block
from workbench.catalog.feeds.grammar import Grammar, find_grammar, told_delimiter
from workbench.catalog.feeds.header import Header, header
from workbench.catalog.feeds.lines import BLOCK, Lines
from workbench.catalog.feeds.rfc4180 import PATIENCE, Record, records, split_lines
from workbench.catalog.feeds.table import CHUNK, MOST_COLUMNS, BadRow, Table, excerpt, first_rows, joined, text_frame
from workbench.errors import DataError

_STRETCH = 2**16  # bytes read one by one before blocks are tried again


def read_delimited(path: Path, limit: int | None = None, words: Sequence[str] = ()) -> Iterator[Table]:
    """Stream a feed, or its first `limit` rows; `words` are the header words of a file that has none.

    A row whose cells can't be told is bad ("ragged row", "unclosed quote"); one that was made to fit is in `mended`.
    """
    left = limit
    for table in _ahead(_parts(Lines(path), words)):
        table = table if left is None else first_rows(table, left)
        yield table
        left = None if left is None else left - table.rows
        if left == 0:
            return


def _ahead(tasks: Iterator[Callable[[], Table]]) -> Iterator[Table]:
    """Results in order, the next two under way while the consumer works (parsing holds no interpreter lock)."""
    first = list(islice(tasks, 2))
    if len(first) == 1:  # small feeds are not worth a thread
        yield first[0]()
        return
    with ThreadPoolExecutor(2) as pool:
        waiting = deque(pool.submit(task) for task in first)
        while waiting:
            table = waiting.popleft().result()
            waiting.extend(pool.submit(task) for task in islice(tasks, 1))
            yield table


def _parts(lines: Lines, words: Sequence[str]) -> Iterator[Callable[[], Table]]:
    """What is to be done for each part of the feed, in order."""
    source = _with_end(lines)
    form, data, line, final = _opened(source, lines.path, words)
    stretch = _STRETCH
    if not data.strip(b"\r\n"):
        yield partial(form.table, [], line, f"{form.grammar}, {lines.encoding}")
    while data or not final:
        read_as, taken = f"{form.grammar}, {lines.encoding}", 0
        block, broken = sound_block(data, form.grammar.delimiter, form.grammar.quotes)
        if len(block.data) >= (stretch if broken else 1):
            yield from form.blocks(block, line, read_as)
            data, line = data[len(block.data) :], line + block.height
        if broken or (final and data):
            found, taken, height = form.stretch(data, stretch, final)
            yield partial(form.table, found, line, read_as)
            data, line = data[taken:], line + height
        stretch = min(2 * stretch, BLOCK) if broken else _STRETCH
        if not (taken or final):
            more, final = next(source)
            data += form.grammar.regular(more)


def _opened(source: Iterator[tuple[bytes, bool]], path: Path, words: Sequence[str]) -> tuple[_Form, bytes, int, bool]:
    """Grammar and header; the bytes after it, how many lines were before them, and whether they are the last."""
    data, final = next(source)
    told, skipped = told_delimiter(data)
    grammar = find_grammar(data[skipped:], final, told)
    data = grammar.regular(data[skipped:])
    while (first := _first(data, grammar, final)) is None and not final:
        more, final = next(source)
        data += grammar.regular(more)
    cells, line, size = first if first and not words else ([], 0, 0)
    if len(cells) > MOST_COLUMNS:
        raise DataError(f"{path}: the header has {len(cells):,} words, at most {MOST_COLUMNS:,} make a table")
    return _Form(grammar, header(words or cells)), data[size:], line + bool(skipped), final


def _with_end(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Blocks, and whether it is the last one, which gets the line end that it may lack."""
    source = iter(blocks)
    block = next(source, b"")
    for following in source:
        yield block, False
        block = following
    yield block if block.endswith((b"\n", b"\r")) else block + b"\n", True


def _first(data: bytes, grammar: Grammar, final: bool) -> tuple[list[str], int, int] | None:
    """Cells of the first record, lines and bytes up to its end."""
    lines = split_lines(data.decode())
    for record in records(lines, grammar.delimiter, grammar.quotes, final):
        return record.cells, record.after, len("".join(lines[: record.after]).encode())
    return None


@dataclass(frozen=True)
class _Form:
    """Records -> tables: the same tables whether they come one by one or as a block."""

    grammar: Grammar
    header: Header

    def blocks(self, block: Block, line: int, read_as: str) -> Iterator[Callable[[], Table]]:
        """The records of a block, no more at once than a table may have."""
        for start in range(0, len(block.starts), CHUNK):
            part = block.cut(start, min(start + CHUNK, len(block.starts)))
            yield partial(self.block, part, line + int(block.lines[start]), read_as)

    def block(self, block: Block, line: int, read_as: str) -> Table:
        """A block with uneven rows is halved, so that only their neighbourhood is read one by one."""
        cells = parse(block, self.header.names, self.grammar.delimiter, self.grammar.quotes)
        if cells is not None and self.grammar.quoting == "padded":
            cells = cells.select(pl.all().str.strip_chars(" \t"))
        if cells is not None:
            return Table(cells, pl.Series("line", line + 1 + block.lines, pl.UInt32), (), read_as)
        half = len(block.starts) // 2
        if len(block.data) <= _STRETCH or not half:
            return self.table(self._records(split_lines(block.data.decode()), True), line, read_as)
        parts = block.cut(0, half), block.cut(half, len(block.starts))
        lines = line, line + int(block.lines[half])
        return joined([self.block(part, first, read_as) for part, first in zip(parts, lines, strict=True)])

    def stretch(self, data: bytes, least: int, final: bool) -> tuple[list[Record], int, int]:
        """The records of the next `least` bytes or more, one by one; the bytes and lines that they take.

        There is none when the first may go on after `data`.
        """
        size = least + 2 * PATIENCE
        while True:
            part = data if len(data) <= size else data[: data.rfind(b"\n", 0, size) + 1]
            lines, last = split_lines(part.decode()), final and len(part) == len(data)
            found, characters = [], 0
            for record in self._records(lines, last):
                found.append(record)
                characters += sum(map(len, lines[record.first : record.after]))
                if characters >= least and not record.tied:
                    break
            else:
                if last:
                    return found, len(data), len(lines)
            if found or len(part) == len(data):
                after = found[-1].after if found else 0
                return found, len("".join(lines[:after]).encode()), after
            size *= 2

    def table(self, found: Iterable[Record], line: int, read_as: str) -> Table:
        rows: list[list[str]] = []
        starts: list[int] = []
        bad: list[BadRow] = []
        mended: list[BadRow] = []
        for record in found:
            if len(record.cells) == 1 < len(self.header.names) and not record.cells[0].strip(" \t"):
                continue  # a line of spaces is blank
            cells, remark = self._fit(record, line + record.first + 1)
            if remark:
                (bad if cells is None else mended).append(remark)
            if cells is not None:
                rows.append(cells)
                starts.append(line + record.first + 1)
        frame = text_frame(self.header.names, rows)
        return Table(frame, pl.Series("line", starts, pl.UInt32), tuple(bad), read_as, mended=tuple(mended))

    def _fit(self, record: Record, line: int) -> tuple[list[str] | None, BadRow | None]:
        """The cells of a row, if they can be told, and what is to be said about it."""
        width, cells = len(self.header.names), record.cells
        if record.unclosed:
            found = f"no closing quote: {self._excerpt(record)}"
            # Tabs are rare in texts: a row with the right number of them has a quote that is only a sign.
            if self.grammar.delimiter == "\t" and len(cells) == width > 1:
                return cells, BadRow(line, "quote kept as text", found)
            return None, BadRow(line, "unclosed quote", found)
        if self.grammar.quoting == "padded":
            cells = [cell.strip(" \t") for cell in cells]
        fitted = self.header.fit(cells, self.grammar.delimiter)
        if fitted and not any(cells[width:]):
            return fitted, None
        found = f"{len(cells)} cells, the header has {width}: {self._excerpt(record)}"
        return fitted, BadRow(line, "rejoined" if fitted else "ragged row", found)

    def _excerpt(self, record: Record) -> str:
        return excerpt(self.grammar.delimiter.join(record.cells))

    def _records(self, lines: Sequence[str], final: bool) -> Iterator[Record]:
        return records(lines, self.grammar.delimiter, self.grammar.quotes, final)
