"""Sentences that a shop puts at the head or tail of most of its texts: `Free shipping on orders over $50.`

They are learnt from a catalog's first products, from texts that still have their line ends, and only where a text has
something else to say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import polars as pl

SAMPLE = 20_000  # products that are looked at
_LONG = 60  # characters of a column's texts, on average: shorter ones are names, where each word counts
_SHARE = 0.3  # of the distinct texts that a sentence begins or ends
_LEAST = 10  # such texts
_LETTERS = 20  # of a sentence

_SENTENCES = re.compile(r"(?<=[.!?…])\s+|\s*\n\s*")


@dataclass(frozen=True)
class Boilerplate:
    """What recurs in one column."""

    heads: tuple[str, ...] = ()
    tails: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.heads or self.tails)


def learn(texts: pl.Series) -> Boilerplate:
    """What recurs in these texts, which still have their line ends. Variants of one text count once."""
    distinct = [text.strip() for text in texts.drop_nulls().unique(maintain_order=True)]
    distinct = [text for text in distinct if text]
    if len(distinct) < _LEAST or sum(map(len, distinct)) < _LONG * len(distinct):
        return Boilerplate()
    sentences = [[" ".join(s.split()) for s in _SENTENCES.split(text)] for text in distinct]
    return Boilerplate(_recurring(sentences, 0), _recurring(sentences, -1))


def removed(cells: pl.Series, boilerplate: Boilerplate) -> pl.Series:
    """The cells without it; one that says nothing else stays as it is."""
    touched = _touched(cells, boilerplate)
    before = after = cells.gather(touched)
    if boilerplate.tails:
        after = after.str.replace(rf"(?:\s+(?:{_any(boilerplate.tails)}))+\s*\z", "")
    if boilerplate.heads:
        after = after.str.replace(rf"\A\s*(?:(?:{_any(boilerplate.heads)})\s+)+", "")
    nothing_left = after.str.strip_chars().is_in(["", *boilerplate.heads, *boilerplate.tails])
    return cells.clone().scatter(touched, before.zip_with(nothing_left, after))


def _touched(cells: pl.Series, boilerplate: Boilerplate) -> pl.Series:
    """The index of the cells that begin or end with a word as its sentences do: few need the regular expression."""
    starts, ends = cells.str.strip_chars_start(), cells.str.strip_chars_end()
    firsts = (starts.str.starts_with(word) for word in sorted({s.split()[0] for s in boilerplate.heads}))
    lasts = (ends.str.ends_with(word) for word in sorted({s.split()[-1] for s in boilerplate.tails}))
    return reduce(or_, (*firsts, *lasts)).arg_true()


def _recurring(texts: Sequence[list[str]], end: int) -> tuple[str, ...]:
    """The sentences at that end of enough texts; then those at the end of what is left, and so on."""
    found: dict[str, None] = {}
    while True:
        counts = Counter(text[end] for text in texts if len(text) > 1 and len(text[end]) >= _LETTERS)
        new = [s for s, n in counts.items() if n >= max(_LEAST, _SHARE * len(texts)) and s not in found]
        if not new:
            return tuple(found)
        found |= dict.fromkeys(new)
        for text in texts:
            while len(text) > 1 and text[end] in found:
                text.pop(end)


def _any(sentences: Sequence[str]) -> str:
    longest_first = sorted(sentences, key=lambda s: (-len(s), s))
    return "|".join(r"\s+".join(map(pl.escape_regex, sentence.split())) for sentence in longest_first)
