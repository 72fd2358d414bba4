"""A picture's name -> its line in the index and its encoded square."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from workbench.artifacts.key import Digests
from workbench.images.aside import Asides, is_small
from workbench.images.earlier import Earlier, Place
from workbench.images.fetched import Fetched
from workbench.images.line import Entry
from workbench.images.made import Made, Source, made_of
from workbench.images.origin import Absent, Pictures, Sight
from workbench.images.picture import pillow_set_up
from workbench.recipe.schema import Images

Named = tuple[int, str]  # number of the feed, name of the picture
Line = tuple[int, Sequence[str]]  # a listing: number of the feed, names of its pictures in their order
Found = Made | Place
Listing = tuple[int, int, list[int] | None, list[str] | None]  # row, feed, order and name of each picture


class Piece(NamedTuple):
    """Listings whose pictures are made together, and what is known of them."""

    listings: Sequence[Listing]
    ready: Mapping[Named, Found]
    fetched: Fetched


@dataclass(frozen=True)
class Maker:
    """Reads pictures from where they lie, decodes those that are new, and encodes them. Another process, to which it is
    pickled, knows nothing of earlier runs but what a piece tells it."""

    images: Images
    encoding: str
    places: Mapping[int, Pictures]  # by number of feed
    fetched: Fetched
    earlier: Earlier
    digests: Digests | None = None  # of files, as the plan knows them
    asides: Asides | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        places = {feed: place.sight() for feed, place in self.places.items()}
        return Elsewhere, (self.images, self.encoding, places, self.fetched.of(()))

    def piece(self, listings: Sequence[Listing], ready: Mapping[Named, Found]) -> Piece:
        named = {(feed, name): None for _, feed, _, names in listings for name in names or ()}
        known = {one: ready[one] for one in named if one in ready}
        return Piece(listings, known, self.fetched.of(name for _, name in named))

    def __call__(self, piece: Piece) -> list[tuple[int, int, Found]]:
        """Row and order of each picture, and what became of it."""
        maker, lines = replace(self, fetched=piece.fetched), lines_of(piece.listings)
        return [
            (row, order, one)
            for (row, _, orders, _), found in zip(piece.listings, maker.listings(lines, piece.ready), strict=True)
            for order, one in zip(orders or (0,), found, strict=False)
        ]

    def listings(self, lines: Sequence[Line], ready: Mapping[Named, Found]) -> list[list[Found]]:
        """The pictures of several listings; `ready` are known already."""
        ready = self._small_aside(lines) if self.asides else ready
        return [self.listing(feed, names, ready) for feed, names in lines]

    def unchanged(self, lines: Sequence[Line]) -> dict[Named, Found]:
        """The pictures that an earlier run made of files that are as they were. One thread asks faster than several,
        which wait for one another after each question to the disk."""
        known = dict[Named, Found]()
        for named in self._wanted(lines) if self.earlier else ():
            with suppress(Absent, OSError):  # the reason is found out where the picture is made
                if (place := self._unchanged(*named)) is not None:
                    known[named] = place
        return known

    def listing(self, feed: int, names: Sequence[str], ready: Mapping[Named, Found]) -> list[Found]:
        """The pictures of a listing in their order: all, or as far as the first that can be used."""
        found = list[Found]()
        for name in names:
            one = ready[feed, name] if (feed, name) in ready else self.picture(feed, name)
            found.append(one)
            if self.images.use == "main" and (not isinstance(one, tuple) or one[0].state == "present"):
                break
        return found or [(Entry("absent", "no picture is named"), b"")]

    def picture(self, feed: int, name: str) -> Found:
        """One picture: taken over if an earlier run decoded the same bytes."""
        return self._made(self._source(feed, name))

    def _wanted(self, lines: Sequence[Line]) -> Iterable[Named]:
        """The pictures that are wanted whatever the others are."""
        some = slice(None) if self.images.use == "all" else slice(1)
        return dict.fromkeys((feed, name) for feed, names in lines for name in names[some])

    def _small_aside(self, lines: Sequence[Line]) -> dict[Named, Found]:
        """The pictures that are wanted, the small ones of them made aside together."""
        assert self.asides
        ready, small = dict[Named, Found](), dict[Named, Source]()
        for named in self._wanted(lines):
            found = self._source(*named)
            if isinstance(found, Source) and is_small(found.data):
                small[named] = found
            else:
                ready[named] = self._made(found)
        made = self.asides.made([*small.values()]) if small else []
        return ready | dict(zip(small, made, strict=True))

    def _source(self, feed: int, name: str) -> Source | Found:
        """The bytes of a picture that has to be made, or what is known without."""
        try:
            if (known := self._unchanged(feed, name)) is not None:
                return known
            data = self.fetched.read(name) if name in self.fetched else self.places[feed].read(name)
        except Absent as absent:
            return Entry("absent", str(absent)), b""
        except OSError as error:
            return Entry("broken", f"can't be read: {error.strerror}"), b""
        except ValueError as error:
            return Entry("broken", str(error)), b""
        sha256 = hashlib.sha256(data).hexdigest()
        known = self.earlier.find(sha256)
        return Source(data, sha256) if known is None else known

    def _unchanged(self, feed: int, name: str) -> Place | None:
        """What an earlier run made of a file that is as it was when the plan last read it. Raises Absent, OSError."""
        if not self.earlier or not self.digests or name in self.fetched:
            return None
        place = self.places[feed]
        sha256 = self.digests.met(place.usual(name) or "")
        if not sha256 and (path := place.file(name)):
            sha256 = self.digests.remembered(path)
        return self.earlier.find(sha256) if sha256 else None

    def _made(self, found: Source | Found) -> Found:
        return made_of(found, self.images, self.encoding) if isinstance(found, Source) else found


def lines_of(listings: Sequence[Listing]) -> list[Line]:
    return [(feed, names or ()) for _, feed, _, names in listings]


class Elsewhere:
    """A maker in a process of a cluster, which opens what it reads when it gets its first piece."""

    def __init__(self, images: Images, encoding: str, places: Mapping[int, Sight], fetched: Fetched) -> None:
        self._settings, self._places, self._fetched = (images, encoding), places, fetched

    def __call__(self, piece: Piece) -> list[tuple[int, int, Found]]:
        return self._maker(piece)

    @cached_property
    def _maker(self) -> Maker:
        _PILLOW.enter_context(pillow_set_up(self._settings[0].max_pixels))
        places = {feed: sight.open() for feed, sight in self._places.items()}
        return Maker(*self._settings, places, self._fetched, Earlier(None, None))


_PILLOW = ExitStack()  # its settings stay as long as the process
