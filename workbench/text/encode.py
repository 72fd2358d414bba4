"""Texts -> token ids: each distinct word is encoded once, then gathered; the work of the Tokens stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.stage import Work
from workbench.recipe.schema import Tokens
from workbench.text.tokenizer import TextTokenizer, load_huggingface, train
from workbench.text.tokens import IDS, OFFSETS, id_type

Ints = NDArray[np.int64]
ROWS_AT_ONCE = 50_000
WORDS_KEPT = 1_000_000  # together with ROWS_AT_ONCE this bounds memory, by some 300 MB


def write_tokens(work: Work, tokens: Tokens) -> Mapping[str, Any]:
    """Fill `work.folder` with the tokenizer and every row's ids; returns the summary."""
    items = work.inputs["ingest"].path("items.parquet")
    names = pl.scan_parquet(items).collect_schema().names()
    columns = ["title", *sorted(name for name in names if name.startswith("text."))]
    fields = [name.removeprefix("text.") for name in columns]
    for left in work.folder.iterdir():
        left.unlink()  # a killed run's: all is written again, which takes less than to check it
    rows = _rows(items)
    if tokens.tokenizer:
        tokenizer = load_huggingface(tokens.tokenizer, fields, tokens.max_length)
    else:
        with work.progress("tokenizer", rows) as progress:
            parts = pl.read_parquet(work.inputs["split"].path("split.parquet"), columns=["part"])["part"]
            tokenizer = train(_training_texts(items, columns, parts, progress.advance), fields, tokens)
    tokenizer.save(work.folder)

    lengths, longest, cut, unknown = [np.zeros(1, np.int64)], 0, 0, 0
    results = work.executor.in_order(Encoder(tokenizer).cut, _slices(items, columns))
    with (work.folder / IDS).open("wb") as file, closing(results), work.progress("tokens", rows) as progress:
        for ids, length in results:
            progress.advance(len(length))
            longest, cut = max(longest, int(length.max()) + 2), cut + int((length > tokens.max_length - 2).sum())
            lengths.append(np.minimum(length, tokens.max_length - 2))
            unknown += int((ids == tokenizer.unk).sum())
            file.write(ids.tobytes())
    offsets = np.cumsum(np.concatenate(lengths))
    np.save(work.folder / OFFSETS, offsets)
    return {
        "vocabulary": tokenizer.size,
        "fields": fields,
        "tokens": int(offsets[-1]),
        "longest": longest,  # before cutting, [CLS] and [SEP] included
        "cut": cut,  # listings longer than tokens.max_length
        "unknown": unknown,
    }


class Encoder:
    """Encodes each distinct word once for a whole catalog, as long as WORDS_KEPT lasts; for several threads. Pickled,
    it is one that knows no word yet."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer
        self._turn = Lock()
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return Encoder, (self.tokenizer,)

    def _forget(self) -> None:
        self._known: dict[str, int] = {}  # word -> its number
        self._ids, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)  # of all known words, by number

    def cut(self, listings: pl.DataFrame) -> tuple[NDArray[Any], Ints]:
        """As `listings`, the ids those that are stored, but how many each had before it was cut to `max_length`."""
        ids, lengths = self.listings(listings)
        ids, _ = shortened(ids, lengths, self.tokenizer.max_length - 2)
        return ids.astype(id_type(self.tokenizer.size)), lengths

    def listings(self, listings: pl.DataFrame) -> tuple[Ints, Ints]:
        """Ids of all listings, one after another, and how many each has: a marker and the ids of each field it has.

        `listings` has one column of texts a field, in the order of `tokenizer.fields`; null where the field is missing.
        """
        texts = listings.select(pl.concat_list(pl.all()).alias("text")).explode("text")["text"]  # row by row
        there = texts.is_not_null().to_numpy()
        ids, counts = self.texts(texts.drop_nulls())
        counts += 1  # the marker
        is_marker = np.zeros(counts.sum(), np.bool_)
        is_marker[np.cumsum(counts) - counts] = True
        out = np.empty(len(is_marker), np.int64)
        out[is_marker] = np.tile(np.array(self.tokenizer.vocabulary.markers), len(listings))[there]
        out[~is_marker] = ids
        lengths = np.zeros(len(texts), np.int64)
        lengths[there] = counts
        return out, lengths.reshape(len(listings), -1).sum(axis=1)

    def texts(self, texts: pl.Series) -> tuple[Ints, Ints]:
        """Ids of all texts (none null), one after another, and how many each has: as if each were encoded whole."""
        parts = texts.str.split(" ") if self.tokenizer.wordwise else texts.reshape((-1, 1)).arr.to_list()
        words = parts.explode()
        distinct = words.unique()
        with self._turn:
            numbers = self._numbers(distinct.to_list())
            known_ids, known_counts = self._ids, self._counts
        number = numbers[words.cast(pl.Enum(distinct)).to_physical().to_numpy()]
        starts, counts = np.cumsum(known_counts) - known_counts, known_counts[number]
        ends = np.concatenate([[0], np.cumsum(counts)])
        ids = known_ids[np.repeat(starts[number] - ends[:-1], counts) + np.arange(ends[-1])]
        last_words = np.cumsum(parts.list.len().cast(pl.Int64).to_numpy())
        return ids, np.diff(ends[np.concatenate([[0], last_words])])

    def _numbers(self, words: Sequence[str]) -> Ints:
        """Number of each distinct word; the new ones are encoded."""
        if len(self._known) > WORDS_KEPT:
            self._forget()
        new = [word for word in words if word not in self._known]
        self._known |= {word: i for i, word in enumerate(new, start=len(self._known))}
        ids, counts = self.tokenizer.encode_words(new)
        self._ids, self._counts = np.concatenate([self._ids, ids]), np.concatenate([self._counts, counts])
        return np.array([self._known[word] for word in words], np.int64)


def shortened(ids: Ints, lengths: Ints, most: int) -> tuple[Ints, Ints]:
    """The first `most` ids of each listing, one after another, and how many each has."""
    position = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return ids[position < most], np.minimum(lengths, most)


def _training_texts(
    items: Path, columns: Sequence[str], parts: pl.Series, seen: Callable[[int], None]
) -> Iterator[list[str]]:
    """Texts of the training part alone: what is held out must stay unseen."""
    start = 0
    for listings in _slices(items, columns):
        train = listings.filter(parts.slice(start, len(listings)) == "train")
        start += len(listings)
        for column in columns:
            yield train[column].drop_nulls().to_list()
        seen(len(listings))


def _slices(items: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    table = pl.scan_parquet(items).select(columns)
    for start in range(0, _rows(items), ROWS_AT_ONCE):
        yield table.slice(start, ROWS_AT_ONCE).collect()


def _rows(items: Path) -> int:
    rows: int = pl.scan_parquet(items).select(pl.len()).collect().item()
    return rows
