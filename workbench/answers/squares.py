"""A listing's pictures -> the encoded square that the training would have stored, or why there is none."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.answers.listing import Listing
from workbench.answers.pictures import Fetch, bytes_of
from workbench.catalog.duplicates.resembling import Resembling
from workbench.images.made import Made, Source, made_of
from workbench.images.names import Absent
from workbench.images.picture import pillow_set_up
from workbench.recipe.schema import Images


class Square(NamedTuple):
    state: str  # "present", "absent" or "absent: why", "broken: why", "placeholder"
    data: bytes = b""  # encoded, b"" where there is none
    side: int = 0  # pixels


@dataclass(frozen=True)
class Squares:
    """Those of some listings, as a decoder reads them."""

    encoding: str  # of the bytes: jpeg or raw
    squares: Sequence[Square]

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.array([square.side > 0 for square in self.squares], np.bool_)

    @property
    def counts(self) -> NDArray[np.integer]:
        return self.usable.astype(np.int32)

    def sides(self, rows: NDArray[np.integer], picks: NDArray[np.integer] | None = None) -> NDArray[np.uint16]:
        return np.array([self.squares[row].side for row in rows], np.uint16)

    def bytes(self, row: int, k: int = 0) -> bytes:
        return self.squares[row].data


class Placeholders:
    """The pictures that counted as none in training, by their bytes and by their looks; see compose.py."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        looks = [(b64decode(thumb), b64decode(colours)) for thumb, colours in told["looks"]]
        self._resembles = Resembling(looks, told["usual_picture"]) if looks else None
        self._digests = frozenset(told["placeholders"])

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._digests

    def shown(self, made: Made) -> bool:
        """Whether a picture is one of them, saved anew."""
        entry = made[0]
        return bool(self._resembles and entry.thumb and entry.colours and self._resembles(entry.thumb, entry.colours))


def lossless_as_raw(encoding: str) -> str:
    """How a square is kept until it is read: to write a PNG takes as long as all else, and says the same."""
    return "jpeg" if encoding == "jpeg" else "raw"


def square_of(listing: Listing, images: Images, placeholders: Placeholders, fetch: Fetch | None) -> Square:
    """Of the first picture that can be used; else the state of the main one. Called within `reading_pictures`."""
    first = Square("absent")
    for nth, picture in enumerate(p for p in (listing.picture, *listing.more) if p is not None):
        square = _square(picture, images, placeholders, fetch)
        if square.side:
            return square
        first = first if nth else square
        if square.state == "placeholder" and images.use == "main":  # the training stored no other
            break
    return first


def _square(picture: Any, images: Images, placeholders: Placeholders, fetch: Fetch | None) -> Square:
    try:
        data = bytes_of(picture, fetch)
    except Absent as absent:
        return Square(f"absent: {absent}")
    except OSError as error:
        return Square(f"broken: can't be read: {error.strerror or error}")
    except ValueError as error:
        return Square(f"broken: {error}")
    if (sha256 := hashlib.sha256(data).hexdigest()) in placeholders:
        return Square("placeholder")
    entry, encoded = made = made_of(Source(data, sha256), images, lossless_as_raw(images.encoding))
    if entry.state != "present":
        return Square(f"broken: {entry.reason}")
    return Square("placeholder") if placeholders.shown(made) else Square("present", encoded, entry.side or 0)


class _SetUp:
    """Pillow's settings are of the process: the first of several threads makes them, the last takes them back."""

    def __init__(self) -> None:
        self.lock, self.users, self.settings = Lock(), 0, ExitStack()


_set_up = _SetUp()


@contextmanager
def reading_pictures(max_pixels: int) -> Iterator[None]:
    """While any thread is within, Pillow is set up for `square_of` in every thread."""
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
