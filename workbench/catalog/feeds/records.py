"""The rows of an XML file, one after the other, those behind a broken one too.

Python's own expat is the parser: it knows the line of every tag, names tags as they are written (feeds forget to
declare prefixes), and a new one can begin behind a broken row. Entities are refused where they are declared, a DTD is
passed over, nothing outside the file is read.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from xml.parsers import expat

from workbench.catalog.feeds.element import GOOGLE, Element, record_path
from workbench.catalog.feeds.table import BadRow, excerpt
from workbench.errors import DataError

HEAD = 2**20  # characters in which the element that repeats is looked for
MOST_BYTES = 2**26  # of one row
MOST_DEPTH = 64

_MENDED = re.compile(r"<!\[CDATA\[.*?\]\]>|&(#?\w{1,32};)?", re.S)
_XML_ENTITIES = ("amp;", "lt;", "gt;", "quot;", "apos;")


class _Broken(Exception):
    """What is wrong with a row, by our own rules."""


class _Parser:
    """expat, collecting the elements at `path`; the tags around them are given by `path` when it starts behind them."""

    def __init__(self, path: tuple[str, ...], line: int, inside: bool) -> None:
        self.path, self.first_line = path, line
        self.done: list[Element] = []
        self.google: set[str] = {"g"}
        self.end = 0  # byte where the last row ended, or this parser began
        self.begun: tuple[int, int] | None = None  # byte and line where the row began that is being read
        self._tags: list[str] = []
        self._open: list[Element] = []
        self._expat = expat.ParserCreate("utf-8")
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._finish
        self._expat.CharacterDataHandler = self._text
        self._expat.SkippedEntityHandler = lambda name, _: self._text(html.unescape(f"&{name};"))
        self._expat.EntityDeclHandler = _refuse
        prolog = "".join(f"<{tag}>" for tag in path[:-1]).encode() if inside else b""
        self._shift = len(prolog)
        self._expat.Parse(prolog)

    def feed(self, data: bytes, final: bool = False) -> None:
        self._expat.Parse(data, final)

    @property
    def at(self) -> int:
        return self._expat.CurrentByteIndex - self._shift

    @property
    def line(self) -> int:
        return self.first_line + self._expat.CurrentLineNumber - 1

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._tags.append(name)
        if attributes:
            self.google |= {key[6:] for key, uri in attributes.items() if key.startswith("xmlns:") and uri == GOOGLE}
        if len(self._tags) > MOST_DEPTH:
            raise _Broken(f"elements more than {MOST_DEPTH} deep")
        if self._open:
            if name == self.path[-1] and len(self._open) == 1:
                raise _Broken(f"<{name}> begins before the one before it has ended")
            element = Element(name, attributes)
            self._open[-1].parts.append(element)
            self._open.append(element)
        elif tuple(self._tags) == self.path:
            self.begun = self.at, self.line
            self._open.append(Element(name, attributes, self.line))

    def _finish(self, name: str) -> None:
        self._tags.pop()
        if self._open:
            element = self._open.pop()
            if not self._open:
                self.done.append(element)
                self.end, self.begun = self.at, None

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].parts.append(text)


class Records:
    """Iterates over the rows: an Element, or a BadRow for what can't be read as one.

    Raises DataError where no element repeats, entities are declared or a row is larger than MOST_BYTES.
    """

    def __init__(self, path: Path, blocks: Callable[[], Iterator[str]]) -> None:
        self._file, self._blocks = path, blocks
        self.google: set[str] = {"g"}  # prefixes of Google's names, as met

    def __iter__(self) -> Iterator[Element | BadRow]:
        try:
            yield from self._rows(self._outline())
        except DataError as error:
            raise DataError(f"{self._file}: {error}") from None

    def _rows(self, path: tuple[str, ...]) -> Iterator[Element | BadRow]:
        """Feed a parser block by block; where it breaks, set the row aside and begin anew at the next."""
        line, text = self._text()
        pending = next(text)
        parser, base, seen = _Parser(path, line, inside=False), 0, 0  # pending[0] is the parser's byte `base`
        final = False
        while True:
            try:
                parser.feed(pending[seen:], final)
            except (expat.ExpatError, _Broken) as error:
                yield from self._taken(parser)
                start, line = parser.begun or (parser.at, parser.line)
                pending = pending[max(0, start - base) :]
                while (cut := _boundary(path, pending)) is None and (block := next(text, b"")):
                    pending = _checked(pending + block)
                if cut is None:
                    yield BadRow(line, "broken XML", f"{_said(error)}, up to the end: {_begin(pending)}")
                    return
                yield _mended(path, pending[:cut], line) or BadRow(
                    line, "broken XML", f"{_said(error)}: {_begin(pending)}"
                )
                parser, base, seen = _Parser(path, line + pending[:cut].count(b"\n"), inside=True), 0, 0
                pending = pending[cut:]
                final = False
                continue
            yield from self._taken(parser)
            if final:
                return
            keep = max(0, (parser.begun[0] if parser.begun else parser.at) - base)
            pending, base = pending[keep:], base + keep
            seen = len(pending)
            pending = _checked(pending + next(text, b""))
            final = len(pending) == seen

    def _text(self) -> tuple[int, Iterator[bytes]]:
        """(line of the first sign, the text as UTF-8): an empty line before the declaration would be an error."""
        blocks = self._blocks()
        first = next(blocks, "")
        text = first.lstrip()
        line = 1 + first[: len(first) - len(text)].count("\n")
        return line, (block.encode() for block in chain([text], blocks))

    def _taken(self, parser: _Parser) -> Iterator[Element]:
        self.google |= parser.google
        done, parser.done = parser.done, []
        yield from done

    def _outline(self) -> tuple[str, ...]:
        """The path of the element that is a row, from the head of the file."""
        counts: Counter[tuple[str, ...]] = Counter()
        full: set[tuple[str, ...]] = set()
        tags: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            full.add(tuple(tags))
            tags.append(name)
            if len(tags) <= MOST_DEPTH:
                counts[tuple(tags)] += 1

        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = start
        parser.EndElementHandler = lambda name: tags.pop()
        parser.EntityDeclHandler = _refuse
        _, text = self._text()
        head = b"".join(islice(text, HEAD // 2**16))
        try:
            parser.Parse(_mend(head))
        except expat.ExpatError as error:
            if not counts:
                raise DataError(f"can't be read as XML ({_said(error)}); write the file again") from None
        if path := record_path(counts, full):
            return path
        raise DataError("no element of the XML has others in it that could be cells; expected a list of products")


def _refuse(*declaration: object) -> None:
    raise DataError(f"the feed declares the entity {declaration[0]!r}, which is refused; write its text instead")


def _boundary(path: tuple[str, ...], data: bytes) -> int | None:
    """Where a broken row ends: behind its closing tag, or where the next begins."""
    tag = re.escape(path[-1].encode())
    found = re.compile(rb"</" + tag + rb"\s*>|(?=<" + tag + rb"[\s/>])").search(data, 1)
    return found.end() if found else None


def _checked(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise DataError(f"a row of more than {MOST_BYTES / 2**20:,.0f} MiB; correct the element where it begins")
    return data


def _mended(path: tuple[str, ...], data: bytes, line: int) -> Element | None:
    """The row, if stray `&` and HTML's names of characters were all that was wrong with it."""
    parser = _Parser(path, line, inside=True)
    try:
        parser.feed(_mend(data))
    except (expat.ExpatError, _Broken):
        return None
    return parser.done[0] if len(parser.done) == 1 else None


def _mend(data: bytes) -> bytes:
    def mended(found: re.Match[str]) -> str:
        whole, name = found[0], found[1] or ""
        if whole.startswith("<") or name in _XML_ENTITIES:
            return whole
        text = html.unescape(whole)
        return html.escape(text) if text != whole and text.isprintable() else f"&amp;{whole[1:]}"

    return _MENDED.sub(mended, data.decode()).encode()


def _said(error: Exception) -> str:
    return expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else str(error)


def _begin(data: bytes) -> str:
    return excerpt(data[:400].decode(errors="ignore"))
