"""Listings -> what the model reads, exactly as its training had it: all of it is told by the model's folder.

Texts are cleaned by the same rules, rid of the same boilerplate and encoded by the same tokenizer; a picture is fitted
into a square that is encoded and decoded again. The loader of the training makes the batch, of listings in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.answers.listing import Listing
from workbench.answers.pictures import Fetch, bytes_of
from workbench.batch import Batch
from workbench.batches.loader import Listings
from workbench.catalog.clean.boilerplate import Boilerplate
from workbench.catalog.duplicates.resembling import Resembling
from workbench.catalog.listings import cleaned
from workbench.errors import ArtifactError, DataError
from workbench.images.decode_cpu import CpuDecoder
from workbench.images.made import Made, Source, made_of
from workbench.images.names import Absent
from workbench.images.picture import pillow_set_up
from workbench.recipe.schema import Clean, Images
from workbench.text.encode import Encoder, shortened
from workbench.text.tokenizer import TextTokenizer
from workbench.text.tokens import TokenTable

PREPARATION, FORMAT = "preparation.json", 1
Recurring = Mapping[str, Boilerplate]  # by column of the items


@dataclass(frozen=True)
class Prepared:
    """Listings as the model reads them."""

    batch: Batch
    pictures: list[str]  # "present", "absent" or "absent: why", "broken: why", "placeholder"
    squares: Sequence[bytes] = ()  # the pictures as they were stored in training; b"" where there is none


@dataclass(frozen=True)
class _Squares:
    """Encoded squares of some listings, as a decoder reads them; b"" where there is none."""

    encoding: str
    squares: Sequence[bytes]
    sides_B: NDArray[np.uint16]

    @property
    def usable(self) -> NDArray[np.bool_]:
        return self.sides_B > 0

    @property
    def counts(self) -> NDArray[np.integer]:
        return self.usable.astype(np.int32)

    def sides(self, rows: NDArray[np.integer], picks: NDArray[np.integer] | None = None) -> NDArray[np.uint16]:
        sides: NDArray[np.uint16] = self.sides_B[rows]
        return sides

    def bytes(self, row: int, k: int = 0) -> bytes:
        return self.squares[row]


class Preparation:
    """The training's preparation; safe to use from several threads."""

    def __init__(self, told: Mapping[str, Any], tokenizer: TextTokenizer, threads: int = 0, fetch: Fetch | None = None):
        self.told, self.tokenizer, self.fetch = told, tokenizer, fetch
        self.fields = tokenizer.fields  # names of the texts that a listing may have
        self.image_side: int = told["image_side"]
        self.images = Images.model_validate_json(json.dumps(told["images"]))
        self._encoding: str = self.images.encoding  # never auto: what the training's pictures are stored as
        self._clean = Clean.model_validate_json(json.dumps(told["clean"]))
        self._columns = ("title", *(f"text.{name}" for name in self.fields[1:]))
        self._placeholders = frozenset(told["placeholders"])
        looks = [(b64decode(thumb), b64decode(colours)) for thumb, colours in told["looks"]]
        self._resembles = Resembling(looks, told["usual_picture"]) if looks else None
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
        if told.get("format") != FORMAT:
            raise ArtifactError(f"{folder / PREPARATION}: format {told.get('format')}, this version reads {FORMAT}")
        return cls(told, tokenizer, threads, fetch)

    def prepare(self, listings: Sequence[Listing]) -> Prepared:
        """Read, clean, decode. Raises DataError for a field of texts that the model doesn't know."""
        made = [self._pool.submit(self._picture, listing) for listing in listings]
        tokens = TokenTable.of(self.tokenizer, *self._tokens(listings))
        states, squares, sides = zip(*(each.result() for each in made), strict=True) if made else ((), (), ())
        stored = _Squares(self._encoding, squares, np.array(sides, np.uint16))
        decoder = CpuDecoder(stored, self.image_side, min(self._threads, max(1, len(listings))))
        try:
            batch = Listings(tokens, decoder, self.told["patch"]).batch(np.arange(len(listings)))
        finally:
            decoder.close()
        return Prepared(batch, list(states), squares)

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

    def _picture(self, listing: Listing) -> tuple[str, bytes, int]:
        """State, encoded square and its side, 0 where there is none: of the first picture that can be used."""
        first = "absent"
        for nth, picture in enumerate(p for p in (listing.picture, *listing.more) if p is not None):
            state, made = self._made(picture)
            if made:
                entry, square = made
                return state, square, entry.side or 0
            first = first if nth else state
            if state == "placeholder" and self.images.use == "main":
                break
        return first, b"", 0

    def _made(self, picture: Any) -> tuple[str, Made | None]:
        try:
            data = bytes_of(picture, self.fetch)
        except Absent as absent:
            return f"absent: {absent}", None
        except OSError as error:
            return f"broken: can't be read: {error.strerror or error}", None
        except ValueError as error:
            return f"broken: {error}", None
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in self._placeholders:
            return "placeholder", None
        with _pillow(self.images.max_pixels):
            made = made_of(Source(data, sha256), self.images, self._encoding)
        entry = made[0]
        if entry.state != "present":
            return f"broken: {entry.reason}", None
        if self._resembles and entry.thumb and entry.colours and self._resembles(entry.thumb, entry.colours):
            return "placeholder", None
        return "present", made


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


class _SetUp:
    """Pillow's settings are of the process: the first of several threads makes them, the last takes them back."""

    def __init__(self) -> None:
        self.lock, self.users, self.settings = Lock(), 0, ExitStack()


_set_up = _SetUp()


@contextmanager
def _pillow(max_pixels: int) -> Iterator[None]:
    with _set_up.lock:
        if not _set_up.users:
            _set_up.settings.enter_context(pillow_set_up(max_pixels))
        _set_up.users += 1
    try:
        yield
    finally:
        with _set_up.lock:
            _set_up.users -= 1
            if not _set_up.users:
                _set_up.settings.close()
