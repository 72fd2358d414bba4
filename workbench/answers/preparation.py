"""Listings -> what the model reads, exactly as its training had it: all of it is told by the model's folder.

Texts are cleaned by the same rules, rid of the same boilerplate and encoded by the same tokenizer; a picture is fitted
into a square that is encoded and decoded again. The loader of the training makes the batch, of listings in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.answers.listing import Listing
from workbench.answers.pictures import Fetch
from workbench.answers.squares import Placeholders, Squares, lossless_as_raw, reading_pictures, square_of
from workbench.artifacts.format import as_written_here, check_format
from workbench.batch import Batch
from workbench.batches.loader import Listings
from workbench.catalog.clean.boilerplate import Boilerplate
from workbench.catalog.listings import cleaned
from workbench.errors import ArtifactError, DataError
from workbench.images.decode_cpu import CpuDecoder
from workbench.recipe.schema import Clean, Images
from workbench.text.encode import Encoder, shortened
from workbench.text.tokenizer import TextTokenizer
from workbench.text.tokens import TokenTable

PREPARATION = "preparation.json"
Recurring = Mapping[str, Boilerplate]  # by column of the items


@dataclass(frozen=True)
class Prepared:
    """Listings as the model reads them."""

    batch: Batch
    pictures: list[str]  # "present", "absent" or "absent: why", "broken: why", "placeholder"
    squares: Sequence[bytes] = ()  # of `Preparation.stored`, the pictures; b"" where there is none


class Preparation:
    """The training's preparation; safe to use from several threads."""

    def __init__(self, told: Mapping[str, Any], tokenizer: TextTokenizer, threads: int = 0, fetch: Fetch | None = None):
        self.told, self.tokenizer, self.fetch = told, tokenizer, fetch
        self.fields = tokenizer.fields  # names of the texts that a listing may have
        self.image_side: int = told["image_side"]
        self.images = Images.model_validate_json(json.dumps(told["images"]))  # its encoding is never auto
        self.stored = lossless_as_raw(self.images.encoding)
        self._clean = Clean.model_validate_json(json.dumps(told["clean"]))
        self._columns = ("title", *(f"text.{name}" for name in self.fields[1:]))
        self._placeholders = Placeholders(told)
        self._recurring = [_read_boilerplate(feed["boilerplate"]) for feed in told["feeds"]]
        self._of_all = _union(self._recurring)
        self._encoder, self._encoding_texts = Encoder(tokenizer), Lock()
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, "pictures")

    @classmethod
    def open(cls, folder: Path, threads: int = 0, fetch: Fetch | None = None) -> Preparation:
        """Of a portable model folder. `fetch` reads pictures by web address; without it they count as absent.

        Raises ArtifactError for a folder that has none that this version reads.
        """
        try:
            told = json.loads((folder / PREPARATION).read_text("utf-8"))
            tokenizer = TextTokenizer.load(folder)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{folder}: not a model's folder ({error}); give one that mlim export wrote") from None
        check_format(told, folder / PREPARATION, "export the model again with this one")
        with as_written_here(folder / PREPARATION):
            return cls(told, tokenizer, threads, fetch)

    def prepare(self, listings: Sequence[Listing]) -> Prepared:
        """Read, clean, decode. Raises DataError for a field of texts that the model doesn't know."""
        how = self.images, self._placeholders, self.fetch
        with reading_pictures(self.images.max_pixels):
            made = [self._pool.submit(square_of, listing, *how) for listing in listings]
            try:
                tokens = TokenTable.of(self.tokenizer, *self._tokens(listings))
            finally:
                wait(made)
        stored = Squares(self.stored, [each.result() for each in made])
        decoder = CpuDecoder(stored, self.image_side, min(self._threads, max(1, len(listings))))
        try:
            batch = Listings(tokens, decoder, self.told["patch"]).batch(np.arange(len(listings)))
        finally:
            decoder.close()
        return Prepared(batch, [square.state for square in stored.squares], [square.data for square in stored.squares])

    def texts(self, listings: Sequence[Listing]) -> pl.DataFrame:
        """The cleaned texts: a column for each field, as the training's items have them."""
        for listing in listings:
            if unknown := set(listing.texts) - set(self.fields):
                known = ", ".join(self.fields)
                raise DataError(f"listing {listing.id!r}: the model reads no field {min(unknown)!r}; it reads {known}")
        raw = {
            column: pl.Series(column, [_unicode(listing.texts.get(name)) for listing in listings], pl.String)
            for column, name in zip(self._columns, self.fields, strict=True)
        }
        feed_of = np.array([-1 if listing.feed is None else listing.feed for listing in listings], np.int64)
        return pl.DataFrame({column: self._cleaned(cells, feed_of) for column, cells in raw.items()})

    def _cleaned(self, cells: pl.Series, feed_of: NDArray[np.int64]) -> pl.Series:
        if cells.null_count() == len(cells):
            return cells
        done = cells.clone()
        for feed in np.unique(feed_of):
            recurring = self._recurring[feed] if 0 <= feed < len(self._recurring) else self._of_all
            where = np.flatnonzero(feed_of == feed)
            done = done.scatter(where, cleaned(cells.gather(where), recurring.get(cells.name), self._clean)[0])
        return done

    def _tokens(self, listings: Sequence[Listing]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not listings:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        texts = self.texts(listings)
        with self._encoding_texts:
            ids, lengths = self._encoder.listings(texts)
        return shortened(ids, lengths, self.tokenizer.max_length - 2)


def _read_boilerplate(found: Mapping[str, Mapping[str, Sequence[str]]]) -> Recurring:
    return {column: Boilerplate(tuple(told["heads"]), tuple(told["tails"])) for column, told in found.items()}


def _union(feeds: Sequence[Recurring]) -> Recurring:
    """What recurs in any feed: a sentence that one shop puts below all texts is its seller's wherever it stands."""
    columns = dict.fromkeys(column for feed in feeds for column in feed)
    none = Boilerplate()

    def every(column: str, end: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(s for feed in feeds for s in getattr(feed.get(column, none), end)))

    return {column: Boilerplate(every(column, "heads"), every(column, "tails")) for column in columns}


def _unicode(text: str | None) -> str | None:
    """Without lone surrogates, which no feed file can hold, but JSON can."""
    return text if text is None else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
