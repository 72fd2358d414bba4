"""The fast ways of reading give what the slow ones give, wherever a block happens to end."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.catalog.feeds import delimited, lines, rfc4180
from workbench.catalog.feeds.blocks import Block
from workbench.catalog.feeds.delimited import read_delimited
from workbench.catalog.feeds.grammar import Grammar
from workbench.catalog.feeds.jsonl import parse_line, parse_slowly
from workbench.catalog.feeds.table import Table, cell_text, joined

# What breaks readers, and enough of what doesn't.
PIECES = ['"', '""', '"a', 'b"', '"x"', '"p\nq"', '"c,d"', ",", ",", ",", "\n", "\n", "\n", "\r\n", "\r", "\n\n", "  "]
PIECES += ["a", "1", "é", "\x00", '12" b', "\ufeff", "\u2028", "\\", '\\"', "\t", "a,b,c\n", '1,"z ""y""",\n']
FEEDS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


def read(content: bytes, grammar: Grammar, block: int, stretch: int, slow: bool) -> Table:
    """All of a feed, read by blocks of some bytes, by the slow twin alone if asked."""
    nothing = Block(b"", np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    patience = patch.multiple(rfc4180, PATIENCE=40), patch.multiple("workbench.catalog.feeds.blocks", PATIENCE=40)
    with tempfile.TemporaryDirectory() as folder, patience[0], patience[1]:
        path = Path(folder) / "a.csv"
        path.write_bytes(content)
        with (
            patch.multiple(lines, FIRST=block, BLOCK=block),
            patch.multiple(delimited, _STRETCH=stretch, BLOCK=stretch, find_grammar=lambda *_: grammar, PATIENCE=40),
            patch.object(delimited, "sound_block", (lambda *_: (nothing, True)) if slow else delimited.sound_block),
        ):
            return joined(list(read_delimited(path)))


def same(one: Table, other: Table) -> None:
    assert one.cells.equals(other.cells) and one.lines.equals(other.lines)
    assert (one.bad, one.mended) == (other.bad, other.mended)


WAYS = ["RFC", "RFC", "plain", "padded", "escaped"]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(FEEDS, st.sampled_from([1, 5, 30, 2**20]), st.sampled_from([1, 20, 2**16]), st.sampled_from(WAYS))
def test_twins(text: str, block: int, stretch: int, quoting: str) -> None:
    content, grammar = f"id,title,x\n{text}".encode(), Grammar(",", quoting)
    fast = read(content, grammar, block, stretch, slow=False)
    same(fast, read(content, grammar, 2**20, 2**40, slow=True))
    assert fast.lines.is_sorted()


TEXTS = ["", "Mug", 'say "hi"', "a\nb", "é€😀", "\x00", "[1, 2]", '{"a": 1}', "[MASK]", " "]
VALUES = st.recursive(
    st.sampled_from([*TEXTS, None, True, 0, -1, 10**25, 1.5, -0.0, 1e300, float("nan")]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
BROKEN = ["", "{}", "[]", "[", "nul", '{"a":1', '{"a":1} {"b":2}', '{"a":-0}', '{"a":01}', '{"a":"\\ud83d"}', "\u2028"]
BROKEN += ['{"a":"\t"}', '{"a":NaN}', '{"a":"\\ude00\\ud83d"}', '{"\\ud83d\\ude00":1,"a":1.50}', '{"a":1,"a":2}']
BROKEN += ['{"a":1E5}', '{"a":"\\u0000"}', '{"a":1}\x0b', "{'a':1}", '{"a":+1}', '{"a":.5}', '{"a":"\x7f"}', "[" * 9999]
JSON = VALUES.map(lambda value: json.dumps({"a": value})) | st.sampled_from(BROKEN)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(JSON, st.integers(0, 40), st.sampled_from('"{}[]\\x,'))
def test_the_fast_decoder_reads_as_the_slow_one(line: str, place: int, sign: str) -> None:
    for text in (line, line[:place] + sign + line[place:], line[:place] + line[place + 1 :]):
        if not text.lstrip().startswith("{'"):  # a dict that Python printed has no twin
            assert outcome(parse_line, text.encode()) == outcome(parse_slowly, text)


def outcome(parse: Callable[[Any], Any], line: Any) -> Any:
    try:
        value = parse(line)
    except (ValueError, RecursionError):
        return "broken"
    return {key: cell_text(inner) for key, inner in value.items()} if value and isinstance(value, dict) else "broken"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["a", "é", "€", "😀", "\ud800", "\U0010ffff"]) | st.binary(max_size=2), max_size=9))
def test_utf8_is_told_as_python_tells_it(parts: list[str | bytes]) -> None:
    block = b"".join(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in parts)
    try:
        block.decode()
        assert lines._is_utf8(block)
    except UnicodeDecodeError:
        assert not lines._is_utf8(block)
