"""Many records at once: the fast twin of `rfc4180.py`, for the part of a block whose quotes are proven to be in order.

A quote opens a cell only after a delimiter, a line end or the beginning, and closes it only before one of these; a
doubled one is a closing one and an opening one. Quotes within an unquoted cell (12" wide) are text. Where all quotes of
a block are told so, every line end is known to be inside or outside of a cell, and so the records and their lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workbench.catalog.feeds.rfc4180 import PATIENCE

Places = np.ndarray[Any, np.dtype[np.int64]]
_LF, _CR, _QUOTE = 10, 13, 34


@dataclass(frozen=True)
class Block:
    """Whole records: their bytes, where each begins, and on which line (from 0 at the block's beginning)."""

    data: bytes
    starts: Places
    lines: Places
    height: int  # lines of the block

    def cut(self, start: int, stop: int) -> Block:
        """Records start..stop."""
        if (start, stop) == (0, len(self.starts)) and not self.starts[:1].any():
            return self  # not copied
        ends = np.append(self.starts, len(self.data))
        line_ends = np.append(self.lines, self.height)
        return Block(
            self.data[ends[start] : ends[stop]],
            self.starts[start:stop] - ends[start],
            self.lines[start:stop] - line_ends[start],
            int(line_ends[stop] - line_ends[start]),
        )


def sound_block(data: bytes, delimiter: str, quotes: bool) -> tuple[Block, bool]:
    """The records at the beginning of `data` (whole lines) that are certain, and whether one after them is broken.

    When none is broken, the rest is a record that goes on after `data`.
    """
    codes = np.frombuffer(data, np.uint8)
    ends = _line_ends(data, codes)
    marks, stop = _quotes(data, codes, delimiter) if quotes else (np.zeros(0, np.int64), len(data))
    outside = np.flatnonzero(np.searchsorted(marks, ends) % 2 == 0)
    outside = outside[: int(np.searchsorted(ends[outside], stop))]
    sizes = np.diff(ends[outside], prepend=-1)
    long = np.flatnonzero(sizes > PATIENCE)
    broken = stop < len(data) or len(long) > 0
    outside = outside[: long[0]] if len(long) else outside
    cut, height = (int(ends[outside[-1]]) + 1, int(outside[-1]) + 1) if len(outside) else (0, 0)
    starts = np.concatenate(([0], ends[outside[:-1]] + 1)) if len(outside) else outside
    lines = np.concatenate(([0], outside[:-1] + 1)) if len(outside) else outside
    said = (codes[starts] != _LF) & (codes[starts] != _CR)
    return Block(data[:cut], starts[said], lines[said], height), broken or len(data) - cut > PATIENCE


def parse(block: Block, names: Sequence[str], delimiter: str, quotes: bool) -> pl.DataFrame | None:
    """The records as String columns; None when one has more or fewer cells than there are names."""
    import pyarrow as pa
    from pyarrow import csv

    if not len(block.starts):
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    columns = [str(i) for i in range(len(names))]
    reading = csv.ReadOptions(column_names=columns, use_threads=False, block_size=len(block.data) + 1)
    parsing = csv.ParseOptions(delimiter=delimiter, quote_char='"' if quotes else False, newlines_in_values=quotes)
    typing = csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(columns, pa.string()))
    try:
        table = csv.read_csv(pa.BufferReader(block.data), reading, parsing, typing)
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(block.starts):
        return None
    cells = pl.from_arrow(table)
    assert isinstance(cells, pl.DataFrame)
    cells.columns = list(names)
    return cells


def _line_ends(data: bytes, codes: np.ndarray[Any, np.dtype[np.uint8]]) -> Places:
    """The place of each line's last byte."""
    ends = np.flatnonzero(codes == _LF)
    if b"\r" in data:
        returns = np.flatnonzero(codes == _CR)
        alone = returns[codes[np.minimum(returns + 1, len(codes) - 1)] != _LF]
        ends = np.sort(np.concatenate([ends, alone])) if len(alone) else ends
    return ends


def _quotes(data: bytes, codes: np.ndarray[Any, np.dtype[np.uint8]], delimiter: str) -> tuple[Places, int]:
    """The places of quotes that open and close cells, in turn, and up to where that is certain."""
    if b'"' not in data:
        return np.zeros(0, np.int64), len(data)
    marks = np.flatnonzero(codes == _QUOTE)
    edge = np.zeros(256, bool)
    edge[[_LF, _CR, ord(delimiter)]] = True
    after_edge = edge[codes[marks - 1]] | (marks == 0)
    before_edge = edge[codes[np.minimum(marks + 1, len(codes) - 1)]]
    doubled = np.diff(marks, append=-1) == 1  # the next byte is a quote too
    opens = after_edge | np.concatenate(([False], doubled[:-1]))
    closes = before_edge | doubled
    if opens[0::2].all() and closes[1::2].all():
        return marks, len(data)
    return _told_apart(marks.tolist(), after_edge.tolist(), closes.tolist(), len(data))


def _told_apart(marks: list[int], after_edge: list[bool], closes: list[bool], size: int) -> tuple[Places, int]:
    """As `_quotes`, one by one, for a block with quotes that are text."""
    kept: list[int] = []
    inside = False
    for place, opening, closing in zip(marks, after_edge, closes, strict=True):
        if inside:
            if not closing:
                return np.array(kept, np.int64), place
            inside = False
        elif opening or (kept and kept[-1] == place - 1):
            inside = True
        else:
            continue
        kept.append(place)
    return np.array(kept, np.int64), size
