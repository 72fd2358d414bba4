"""A picture's name -> its line in the index and its encoded square."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from imagecodecs import jpeg8_encode
from PIL import Image

from workbench.images.earlier import Earlier
from workbench.images.fetched import Fetched
from workbench.images.origin import Absent, Pictures
from workbench.images.picture import Broken, square
from workbench.images.shard import Entry
from workbench.recipe.schema import Images

FLAT = "a single colour"
Made = tuple[Entry, bytes | memoryview]  # encoded only if present


@dataclass(frozen=True)
class Maker:
    """Reads pictures from where they lie, decodes those that are new, and encodes them."""

    images: Images
    encoding: str
    places: Mapping[int, Pictures]  # by number of feed
    fetched: Fetched
    earlier: Earlier

    def listing(self, feed: int, names: Sequence[str]) -> list[Made]:
        """The pictures of a listing in their order: all, or as far as the first that can be used."""
        made = []
        for name in names:
            made.append(self.picture(feed, name))
            if self.images.use == "main" and made[-1][0].state == "present":
                break
        return made or [(Entry("absent", "no picture is named"), b"")]

    def picture(self, feed: int, name: str) -> Made:
        """One picture: taken over if an earlier run decoded the same bytes."""
        try:
            data = self.fetched.read(name) if name in self.fetched else self.places[feed].read(name)
        except Absent as absent:
            return Entry("absent", str(absent)), b""
        except OSError as error:
            return Entry("broken", f"can't be read: {error.strerror}"), b""
        except ValueError as error:
            return Entry("broken", str(error)), b""
        sha256 = hashlib.sha256(data).hexdigest()
        return self.earlier.find(sha256) or self._decoded(data, sha256)

    def _decoded(self, data: bytes, sha256: str) -> Made:
        try:
            found = square(data, self.images)
        except Broken as broken:
            return Entry("broken", str(broken), sha256), b""
        note = FLAT if found.flat else None
        return Entry("present", note, sha256, found.width, found.height, *found.look), self._encoded(found.image)

    def _encoded(self, square: Image.Image) -> bytes:
        if self.encoding == "jpeg":  # the bytes that Pillow writes, while other threads go on
            return bytes(jpeg8_encode(np.asarray(square), level=self.images.quality, subsampling="444"))
        out = io.BytesIO()
        square.save(out, "PNG")
        return out.getvalue()
