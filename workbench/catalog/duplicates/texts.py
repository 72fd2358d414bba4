"""Near-duplicate texts: the same listing's words in another order, or with some of them replaced.

Candidates come from MinHash (Broder, 1997) in bands, over the words of title and texts; a rare word counts up to four
times as much as one that is everywhere. Those with different numbers are left out, by 64 bits a text; the others are
compared word by word. What differs in a number is another product, and so are the members of a family, in which one
text comes with many words in one place ("case red", "case blue"). Few common words say nothing: of N listings with
words drawn at random, two have words of 2 ln N nats in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from workbench.artifacts.executor import Executor, Threads
from workbench.catalog.duplicates.again import Search, search
from workbench.catalog.duplicates.bands import Bools, Ints, Keys, runs

# A word: letters, or digits; of scripts that set no spaces, one sign.
_SIGNS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = rf"[{_SIGNS}]|[\p{{L}}\p{{M}}--[{_SIGNS}]]+|\p{{N}}+"
CROWD = 16  # texts in a bucket that have little more in common than what many have
BANDS, ROWS = 50, 4  # two texts with half of their words in common share a band in 96 of 100 cases
COPIES = 4  # of the rarest words
ALIKE, TITLES_ALIKE = 0.5, 0.45  # weighted Jaccard similarity of near-duplicates: of all words, of titles'
SIMILAR = 0.3  # of listings that have a picture in common too
FAMILY = 4  # listings whose texts differ pairwise in one place
MOST_WORDS = 200  # of a text that are read
AT_ONCE, SIGNED_AT_ONCE, READ_AT_ONCE = 200_000, 4096, 50_000  # pairs compared, texts signed, texts read

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Likeness:
    """What two texts have in common, for each of P pairs."""

    words: Doubles  # weighted Jaccard similarity of title and texts, 0 to 1
    titles: Doubles  # the same of titles alone
    common: Doubles  # information in the common words, in nats
    numbers: Bools  # whether neither text contradicts the other's numbers
    rest: NDArray[np.uint64]  # stands for the set of the common words
    contained: Bools  # whether one has all words of the other


class Texts:
    """The words of N listings."""

    def __init__(self, titles: pl.Series, texts: pl.Series, executor: Executor | None = None) -> None:
        """Titles, and titles and texts as one; null where there is none."""
        self.count, self._executor = len(texts), executor or Threads()
        words, title_words = _words((texts, titles), self._executor)
        self.vocabulary = pl.concat([words.vocabulary, title_words.vocabulary]).unique().sort()
        self.words, self.titles = (part.matrix(self.vocabulary) for part in (words, title_words))
        listings = np.maximum(np.bincount(self.words.indices, minlength=len(self.vocabulary)), 1)
        self.nats = np.log(max(self.count, 2) / listings)  # of information in each word
        self.hashes = np.array([_hash(word) for word in self.vocabulary], np.uint64)
        self._number = self.vocabulary.str.contains(r"^\p{N}").to_numpy().astype(np.float64)
        self._nats, self._title_nats = self.words @ self.nats, self.titles @ self.nats
        self._numbers, self._title_numbers = self.words @ self._number, self.titles @ self._number
        self.telling = 2 * np.log(max(self.count, 2)) - 2  # nats: common words of so much are hardly chance

    def likely_pairs(self, earlier: Search | None = None) -> tuple[Ints, Ints, Search]:
        """Candidates left < right; listings of the same words are paired with the first of them only.

        Also what next week's run takes over: the things there are sets of words.
        """
        elements = self._elements()
        rows = np.flatnonzero(np.diff(self.words.indptr) > 0)
        things, first, same = np.unique(self._sums(elements.sums)[rows], return_index=True, return_inverse=True)
        first = rows[first]
        marks = self._number_marks()[first]

        keys, known, left, right = search(
            things,
            lambda some: self._keys(first[some], elements),
            lambda _: partial(_likely, marks),
            CROWD,
            earlier,
            self._executor,
        )
        pairs = pl.DataFrame({"left": left, "right": right}).cast(pl.UInt32)
        pairs = (pairs if known is None else pl.concat([known.cast(pl.UInt32), pairs])).sort("left", "right")
        a, b = (np.concatenate([first[pairs[side]], star]) for side, star in (("left", first[same]), ("right", rows)))
        apart = a != b
        return np.minimum(a, b)[apart], np.maximum(a, b)[apart], Search(things, keys, pairs)

    def _elements(self) -> _Elements:
        """A word of weight k being k elements; k hardly ever changes from week to week."""
        copies = np.ceil(COPIES * self.nats / np.log(max(self.count, 2))).clip(1, COPIES).astype(np.int64)
        starts = np.cumsum(copies) - copies
        of_word = np.repeat(np.arange(len(copies)), copies)
        hashes = _mixed(self.hashes[of_word] + (np.arange(len(of_word)) - starts[of_word]).astype(np.uint64))
        sums = np.concatenate([[np.uint64(0)], np.cumsum(_mixed(hashes), dtype=np.uint64)])
        return _Elements(hashes, copies, starts, sums[starts + copies] - sums[starts])

    def _sums(self, of_words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """(N,) of each text's words; they wrap around."""
        sums = np.concatenate([[np.uint64(0)], np.cumsum(of_words[self.words.indices], dtype=np.uint64)])
        ends: NDArray[np.uint64] = sums[self.words.indptr]
        return np.diff(ends)

    def _number_marks(self) -> NDArray[np.uint64]:
        """(N,) a bit of 64 for each number of a text: where each of two has a bit of its own, their numbers differ."""
        bits = np.where(self._number > 0, np.uint64(1) << (self.hashes & np.uint64(63)), np.uint64(0))
        marks = np.zeros(self.count, np.uint64)
        some = np.diff(self.words.indptr) > 0
        marks[some] = np.bitwise_or.reduceat(bits[self.words.indices], self.words.indptr[:-1][some])
        return marks

    def _keys(self, rows: Ints, elements: _Elements) -> Keys:
        """(rows, 1, BANDS)"""
        keys, starts = np.zeros((len(rows), 1, BANDS), np.uint32), range(0, len(rows), SIGNED_AT_ONCE)
        pieces = (self.words[rows[start : start + SIGNED_AT_ONCE]] for start in starts)
        for start, some in zip(starts, self._executor.in_order(elements.signed, pieces), strict=True):
            keys[start : start + SIGNED_AT_ONCE, 0] = some
        return keys

    def compare(self, left: Ints, right: Ints) -> Likeness:
        """How alike the listings of each pair are."""
        parts = [
            self._compare(left[start : start + AT_ONCE], right[start : start + AT_ONCE])
            for start in range(0, max(len(left), 1), AT_ONCE)
        ]
        names = Likeness.__dataclass_fields__
        return Likeness(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def _compare(self, left: Ints, right: Ints) -> Likeness:
        both, titles = self.words[left] * self.words[right], self.titles[left] * self.titles[right]
        common, numbers = both @ self.nats, both @ self._number
        in_titles = titles @ self._number
        agree = (numbers == np.minimum(self._numbers[left], self._numbers[right])) & (
            (in_titles == self._title_numbers[left]) & (in_titles == self._title_numbers[right])
        )
        sizes = np.diff(self.words.indptr)
        return Likeness(
            _jaccard(common, self._nats[left], self._nats[right]),
            _jaccard(titles @ self.nats, self._title_nats[left], self._title_nats[right]),
            common,
            agree,
            (both.astype(np.uint64) @ self.hashes).astype(np.uint64),
            np.diff(both.indptr) == np.minimum(sizes[left], sizes[right]),
        )


def _likely(marks: NDArray[np.uint64], asked: Ints, found: Ints, _: int) -> Bools:
    """Which pairs are worth a closer look by the marks of their numbers."""
    a, b = marks[asked], marks[found]
    worth: Bools = (asked < found) & ((a & b == a) | (a & b == b))
    return worth


def near_texts(texts: Texts, left: Ints, right: Ints, like: Likeness) -> Bools:
    """Which pairs are near-duplicates by their texts alone."""
    near: Bools = (like.words >= ALIKE) & (like.titles >= TITLES_ALIKE) & like.numbers & (like.common >= texts.telling)
    return near & ~in_family(left, right, like, near)


def in_family(left: Ints, right: Ints, like: Likeness, among: Bools) -> Bools:
    """Which pairs belong to a family: many listings that differ pairwise, `among` some pairs, in the same place."""
    differing = among & (like.words < 1)
    members = pl.DataFrame(
        {"rest": np.tile(like.rest[differing], 2), "row": np.concatenate([left[differing], right[differing]])}
    )
    sizes = members.group_by("rest").agg(pl.col("row").n_unique().alias("size"))
    large = sizes.filter(pl.col("size") >= FAMILY)["rest"].to_numpy()
    inside: Bools = np.isin(like.rest, large) & (like.words < 1)
    return inside


@dataclass(frozen=True)
class _Elements:
    """What MinHash sees of the words of a vocabulary."""

    hashes: NDArray[np.uint64]  # of each element
    copies: Ints  # (V,) elements of each word
    starts: Ints  # (V,) the first of them
    sums: NDArray[np.uint64]  # (V,) stands for them all

    def signed(self, words: csr_array) -> Keys:
        """(texts, BANDS): MinHash over the elements of the words of each text."""
        from rensa import RMinHash

        taken = self.copies[words.indices]
        ends = np.cumsum(taken)
        places = np.repeat(self.starts[words.indices] - (ends - taken), taken) + np.arange(ends[-1])
        offsets = np.concatenate([[0], ends])[words.indptr].astype(np.uint64)
        minima = RMinHash.digest_matrix_from_flat_token_hashes(self.hashes[places], offsets, BANDS * ROWS, 0)
        by_band = np.array(minima.to_rows(), np.uint32).reshape(-1, BANDS, ROWS)
        key = np.zeros(by_band.shape[:2], np.uint64)
        for row in range(ROWS):
            key = _mixed(key ^ by_band[:, :, row])
        return (key >> np.uint64(32)).astype(np.uint32)


@dataclass(frozen=True)
class _Chunk:
    """The words of some texts, a word that comes again being another one."""

    vocabulary: pl.Series
    words: NDArray[np.uint32]  # by their number in the vocabulary
    sizes: Ints  # words of each text


@dataclass(frozen=True)
class _Words:
    """The words of N texts."""

    chunks: list[_Chunk]

    @property
    def vocabulary(self) -> pl.Series:
        return pl.concat([pl.Series([], dtype=pl.String), *(chunk.vocabulary for chunk in self.chunks)]).unique()

    def matrix(self, vocabulary: pl.Series) -> csr_array:
        """(N, V) of ones."""
        place = pl.DataFrame({"word": vocabulary}).with_row_index("place")
        columns, sizes = [np.zeros(0, np.int32)], np.concatenate([[0], *(chunk.sizes for chunk in self.chunks)])
        for chunk in self.chunks:
            joined = pl.DataFrame({"word": chunk.vocabulary}).join(place, on="word", how="left", maintain_order="left")
            columns.append(joined["place"].to_numpy()[chunk.words].astype(np.int32))
        starts = np.cumsum(sizes)
        shape = (len(starts) - 1, len(vocabulary))
        matrix = csr_array((np.ones(starts[-1], np.float32), np.concatenate(columns), starts), shape=shape)
        matrix.sort_indices()
        return matrix


def _words(columns: Sequence[pl.Series], executor: Executor) -> list[_Words]:
    """The words of columns of N texts each."""
    starts = range(0, len(columns[0]), READ_AT_ONCE)
    read = executor.in_order(_read, (texts.slice(start, READ_AT_ONCE) for texts in columns for start in starts))
    return [_Words([*islice(read, len(starts))]) for _ in columns]


def _read(texts: pl.Series) -> _Chunk:
    lists = texts.fill_null("").str.to_lowercase().str.extract_all(WORD).list.head(MOST_WORDS)
    flat = lists.explode(empty_as_null=False, keep_nulls=False)
    own = flat.unique().sort()
    sizes = lists.list.len().to_numpy().astype(np.int64)
    return _Chunk(*_numbered(own, flat.cast(pl.Enum(own)).to_physical().cast(pl.Int64).to_numpy(), sizes), sizes)


def _numbered(own: pl.Series, words: Ints, sizes: Ints) -> tuple[pl.Series, NDArray[np.uint32]]:
    """The second "a" of "a b a" becomes "a 1", a word of its own."""
    key = np.repeat(np.arange(len(sizes)) * len(own), sizes) + words
    order = np.argsort(key, kind="stable")
    times = np.zeros(len(key), np.int64)
    times[order] = np.arange(len(key)) - runs(key[order])[0]
    again = np.flatnonzero(times)
    others, place = np.unique(words[again] * MOST_WORDS + times[again], return_inverse=True)
    numbered = words.astype(np.uint32)
    numbered[again] = len(own) + place
    told = pl.select(pl.format("{} {}", own.gather(others // MOST_WORDS), pl.Series(others % MOST_WORDS))).to_series()
    return pl.concat([own, told.rename(own.name)]), numbered


def _jaccard(common: Doubles, a: Doubles, b: Doubles) -> Doubles:
    union = a + b - common
    likeness: Doubles = np.divide(common, union, out=np.zeros_like(common), where=union > 1e-9)
    return likeness


def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64 bits that scatters them (Steele and others, 2014: splitmix64)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
