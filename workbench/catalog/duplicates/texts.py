"""Near-duplicate texts: the same listing's words in another order, or with some of them replaced.

Candidates come from MinHash (Broder, 1997) in bands, over the words of title and texts; a rare word counts up to four
times as much as one that is everywhere. Candidates are then compared word by word. What differs in a number is another
product, and so are the members of a family, in which one text comes with many words in one place ("case red", "case
blue"). Few common words say nothing: of N listings with words drawn at random, two have words of 2 ln N nats in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from workbench.catalog.duplicates.bands import Bools, Ints, Keys, candidates

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
AT_ONCE, SIGNED_AT_ONCE = 200_000, 4096  # pairs compared, texts signed

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

    def __init__(self, titles: pl.Series, texts: pl.Series, seed: int = 0) -> None:
        """Titles, and titles and texts as one; null where there is none. Another seed, other hashes."""
        self._seed = seed
        words, rows = _words(texts)
        self.count = len(texts)
        self.vocabulary = words.unique().sort()
        columns = words.cast(pl.Enum(self.vocabulary)).to_physical().to_numpy().astype(np.int64)
        self.words = _matrix(rows, columns, (self.count, len(self.vocabulary)))
        title_words, title_rows = _words(titles)
        title_columns = title_words.cast(pl.Enum(self.vocabulary)).to_physical().to_numpy().astype(np.int64)
        self.titles = _matrix(title_rows, title_columns, self.words.shape)
        listings = np.maximum(np.bincount(columns, minlength=len(self.vocabulary)), 1)
        self.nats = np.log(max(self.count, 2) / listings)  # of information in each word
        self.hashes = np.array([_hash(word) for word in self.vocabulary], np.uint64)
        self.is_number = self.vocabulary.str.contains(r"^\p{N}").to_numpy()
        self.telling = 2 * np.log(max(self.count, 2)) - 2  # nats: common words of so much are hardly chance

    def likely_pairs(self, rows: Ints) -> tuple[Ints, Ints]:
        """Candidates left < right among `rows` (ascending), ascending."""
        rows = rows[np.diff(self.words.indptr)[rows] > 0]
        left, right = candidates([self._keys()[rows]], CROWD, lambda asked, found, _: asked < found)
        return rows[left], rows[right]

    def _keys(self) -> Keys:
        """(N, BANDS): MinHash over the words, a word of weight k being k elements."""
        from rensa import RMinHash

        copies = np.ceil(COPIES * self.nats / np.log(max(self.count, 2))).clip(1, COPIES).astype(np.int64)
        of_word = np.repeat(np.arange(len(copies)), copies)
        copy = np.arange(len(of_word)) - np.repeat(np.cumsum(copies) - copies, copies)
        elements = _mixed(self.hashes[of_word] + copy.astype(np.uint64))
        starts = np.cumsum(copies) - copies
        taken = copies[self.words.indices]
        ends = np.cumsum(taken)
        flat = elements[np.repeat(starts[self.words.indices] - (ends - taken), taken) + np.arange(taken.sum())]
        offsets = np.concatenate([[0], ends])[self.words.indptr].astype(np.uint64)
        keys = np.zeros((self.count, BANDS), np.uint32)
        for start in range(0, self.count, SIGNED_AT_ONCE):
            some = offsets[start : start + SIGNED_AT_ONCE + 1]
            signed = RMinHash.digest_matrix_from_flat_token_hashes(
                flat[some[0] : some[-1]], some - some[0], BANDS * ROWS, self._seed
            )
            minima = np.array(signed.to_rows(), np.uint64).reshape(-1, BANDS, ROWS)
            key = np.zeros(minima.shape[:2], np.uint64)
            for row in range(ROWS):
                key = _mixed(key ^ minima[:, :, row])
            keys[start : start + SIGNED_AT_ONCE] = key >> np.uint64(32)
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
        a, b = self.words[left], self.words[right]
        both = a * b
        common, all_a, all_b = both @ self.nats, a @ self.nats, b @ self.nats
        title_a, title_b = self.titles[left], self.titles[right]
        titles = (title_a * title_b) @ self.nats, title_a @ self.nats, title_b @ self.nats
        number = self.is_number.astype(np.float64)
        numbers = both @ number, a @ number, b @ number
        title_numbers = (title_a * title_b) @ number, title_a @ number, title_b @ number
        agree = (numbers[0] == np.minimum(numbers[1], numbers[2])) & (
            (title_numbers[0] == title_numbers[1]) & (title_numbers[0] == title_numbers[2])
        )
        sizes = (np.diff(m.indptr) for m in (both, a, b))
        shared, in_a, in_b = sizes
        return Likeness(
            _jaccard(common, all_a, all_b),
            _jaccard(*titles),
            common,
            agree,
            (both.astype(np.uint64) @ self.hashes).astype(np.uint64),
            shared == np.minimum(in_a, in_b),
        )


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


def _words(texts: pl.Series) -> tuple[pl.Series, Ints]:
    """The words of each text, a word that comes again being another one, and which text each is of."""
    lists = texts.fill_null("").str.to_lowercase().str.extract_all(WORD).list.head(MOST_WORDS)
    flat = pl.DataFrame({"word": lists}).with_row_index("row").explode("word").drop_nulls()
    times = pl.int_range(pl.len()).over("row", "word")
    told = pl.when(times > 0).then(pl.format("{} {}", "word", times)).otherwise("word")
    flat = flat.select("row", told.alias("word"))
    return flat["word"], flat["row"].to_numpy().astype(np.int64)


def _matrix(rows: Ints, columns: Ints, shape: tuple[int, int]) -> csr_array:
    matrix = csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sort_indices()
    return matrix


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
