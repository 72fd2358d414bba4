"""A picture's name -> its line in the index and its encoded square."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.artifacts.key import Digests
from workbench.images.aside import Asides, is_small
from workbench.images.earlier import Earlier
from workbench.images.fetched import Fetched
from workbench.images.made import Made, Source, made_of
from workbench.images.origin import Absent, Pictures
from workbench.images.shard import Entry
from workbench.recipe.schema import Images

Named = tuple[int, str]  # number of the feed, name of the picture


@dataclass(frozen=True)
class Maker:
    """Reads pictures from where they lie, decodes those that are new, and encodes them."""

    images: Images
    encoding: str
    places: Mapping[int, Pictures]  # by number of feed
    fetched: Fetched
    earlier: Earlier
    digests: Digests  # of files, as the plan remembers them
    asides: Asides | None = None

    def listings(self, lines: Sequence[tuple[int, Sequence[str]]]) -> list[list[Made]]:
        """The pictures of several listings, each told by its feed and the names in their order."""
        ready = self._small_aside(lines) if self.asides else {}
        return [self.listing(feed, names, ready) for feed, names in lines]

    def listing(self, feed: int, names: Sequence[str], ready: Mapping[Named, Made]) -> list[Made]:
        """The pictures of a listing in their order: all, or as far as the first that can be used."""
        made = []
        for name in names:
            made.append(ready.get((feed, name)) or self.picture(feed, name))
            if self.images.use == "main" and made[-1][0].state == "present":
                break
        return made or [(Entry("absent", "no picture is named"), b"")]

    def picture(self, feed: int, name: str) -> Made:
        """One picture: taken over if an earlier run decoded the same bytes."""
        return self._made(self._source(feed, name))

    def _small_aside(self, lines: Sequence[tuple[int, Sequence[str]]]) -> dict[Named, Made]:
        """The pictures that are wanted whatever the others are, the small ones of them made aside together."""
        assert self.asides
        some = slice(None) if self.images.use == "all" else slice(1)
        ready, small = dict[Named, Made](), dict[Named, Source]()
        for named in dict.fromkeys((feed, name) for feed, names in lines for name in names[some]):
            found = self._source(*named)
            if isinstance(found, Source) and is_small(found.data):
                small[named] = found
            else:
                ready[named] = self._made(found)
        return ready | dict(zip(small, self.asides.made([*small.values()]), strict=True))

    def _source(self, feed: int, name: str) -> Source | Made:
        """The bytes of a picture that has to be made, or what is known without."""
        try:
            if known := self._unchanged(feed, name):
                return known
            data = self.fetched.read(name) if name in self.fetched else self.places[feed].read(name)
        except Absent as absent:
            return Entry("absent", str(absent)), b""
        except OSError as error:
            return Entry("broken", f"can't be read: {error.strerror}"), b""
        except ValueError as error:
            return Entry("broken", str(error)), b""
        sha256 = hashlib.sha256(data).hexdigest()
        return self.earlier.find(sha256) or Source(data, sha256)

    def _unchanged(self, feed: int, name: str) -> Made | None:
        """What an earlier run made of a file that is as it was when the plan last read it. Raises Absent, OSError."""
        if not self.earlier or name in self.fetched or not (path := self.places[feed].file(name)):
            return None
        sha256 = self.digests.remembered(path)
        return self.earlier.find(sha256) if sha256 else None

    def _made(self, found: Source | Made) -> Made:
        return made_of(found, self.images, self.encoding) if isinstance(found, Source) else found
