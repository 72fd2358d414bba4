"""How the cells of a delimited feed are set apart: told by the way that reads most of its first rows evenly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from workbench.catalog.feeds.header import header
from workbench.catalog.feeds.rfc4180 import Record, records, split_lines

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", "~": "tilde"}
_HEAD_ROWS, _HEAD_LINES = 200, 400
_SEP = re.compile(rb'"?sep=([!#-/:-@[-`{-~\t])"?[,;\t|]*(\r\n|\n|\r)')  # Excel's own first line


@dataclass(frozen=True)
class Grammar:
    """A delimiter and a way of quoting: RFC 4180, "escaped" (\\" within quotes), "padded" (spaces around quotes) or
    "plain" (a quote is a character like any other)."""

    delimiter: str
    quoting: str = "RFC"

    @property
    def quotes(self) -> bool:
        return self.quoting != "plain"

    def __str__(self) -> str:
        told = {
            "RFC": "",
            "escaped": ", quotes escaped by \\",
            "padded": ", spaces around quotes",
            "plain": ", unquoted",
        }
        return f"{_NAMES.get(self.delimiter, self.delimiter)}-separated{told[self.quoting]}"

    def regular(self, block: bytes) -> bytes:
        """The block with its quotes as RFC 4180 wants them; lines stay the same lines."""
        if self.quoting == "escaped" and b"\\" in block:
            return re.sub(rb'\\(["\\])', lambda m: b'""' if m[1] == b'"' else b"\\", block)
        if self.quoting == "padded" and b'"' in block:
            cut = re.escape(self.delimiter.encode())
            block = re.sub(rb"(^|" + cut + rb'|[\r\n])[ \t]+(?=")', rb"\1", block)
            return re.sub(rb'"[ \t]+(?=' + cut + rb"|[\r\n]|$)", b'"', block)
        return block


def told_delimiter(head: bytes) -> tuple[str | None, int]:
    """What a first line `sep=;` says, and the length of that line."""
    match = _SEP.match(head)
    return (match[1].decode(), match.end()) if match else (None, 0)


def find_grammar(head: bytes, final: bool, told: str | None = None) -> Grammar:
    """The grammar (of the delimiter `told`) that most of the first rows agree on; then the commoner; then the wider.

    Counting characters would be misled by texts and header words with commas in them.
    """
    lines = head.splitlines(keepends=True)
    lines, final = lines[:_HEAD_LINES], final and len(lines) <= _HEAD_LINES

    def trial(place: int, grammar: Grammar) -> tuple[float, int, int, Grammar]:
        alike, width = _evenness(lines, final, grammar)
        return alike, -place, width, grammar

    trials = [trial(i, g) for d in ([told] if told else _NAMES) for i, g in enumerate(_ways(d, b'"' in head))]
    return max(trials, key=lambda t: t[:3])[3]


def _ways(delimiter: str, quotes: bool) -> list[Grammar]:
    """Quoting from common to rare. A comma or semicolon is too common in texts to be written without any."""
    ways = ["RFC", "padded", "escaped", "plain"] if quotes else ["RFC"]
    return [Grammar(delimiter, way) for way in ways if way != "plain" or delimiter not in ",;"]


def _evenness(lines: list[bytes], final: bool, grammar: Grammar) -> tuple[float, int]:
    """Share of the first rows that have as many cells as the header, and how many these are; no table: (0, 0)."""
    text = grammar.regular(b"".join(lines)).decode()
    rows = list(islice(records(split_lines(text), grammar.delimiter, grammar.quotes, final), _HEAD_ROWS))
    if not rows or len(rows[0].cells) < 2:
        return 0, 0
    names = header(rows[0].cells)
    even = sum(names.even(row.cells) and not _odd(row) for row in rows)
    return even / len(rows), len(rows[0].cells)


def _odd(row: Record) -> bool:
    """Whether there are quotes that another way of quoting would understand."""
    padded = any(cell[:1] in (" ", "\t") and cell.lstrip()[:1] == '"' for cell in row.cells)
    return row.unclosed or padded or (row.sloppy and any('\\"' in cell for cell in row.cells))
