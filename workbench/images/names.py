"""Names of pictures as feeds write them -> names as folders and archives have them."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator


class Absent(Exception):
    """There is no such picture; the message is the reason."""


# Where shop systems keep the files that their feeds name without it.
SUBFOLDERS = (
    *("pub/media/catalog/product", "media/catalog/product", "pub/media/import", "media/import", "pub/media", "media"),
    *("wp-content/uploads", "uploads"),
)

MOST_BYTES = 512 * 2**20  # of one picture


def inside(name: str) -> str:
    """The name as archives write it; a leading `/` means below the folder. Absent for one that leads elsewhere."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        raise Absent("a web address, not the name of a file")
    name = posixpath.normpath(name.replace("\\", "/").lstrip("/"))
    if name.startswith("../") or name == "..":
        raise Absent("outside the folder of pictures")
    return name


class Names:
    """The names in one place, given by `list` when first one is not found as written.

    A name is found whether its accents are composed or not (NFC, NFD: the Mac's zips), and in another case where only
    one name is that but for its case.
    """

    def __init__(self, list: Callable[[], Iterable[str]]) -> None:
        self._list = list
        self._alike: dict[str, tuple[str, ...]] | None = None

    def like(self, name: str) -> str:
        """The one name like this; raises Absent when there is none, or several."""
        if self._alike is None:
            alike: dict[str, tuple[str, ...]] = {}
            for known in self._list():
                key = _folded(known)
                alike[key] = (*alike.get(key, ()), known)
            self._alike = alike
        found = self._alike.get(_folded(name), ())
        composed = unicodedata.normalize("NFC", name)
        same = [known for known in found if unicodedata.normalize("NFC", known) == composed]
        if len(same or found) == 1:
            return (same or found)[0]
        raise Absent("no such file, but several that differ from it by case" if found else "no such file")


def candidates(name: str, folders: Iterable[str]) -> Iterator[str]:
    yield name
    yield from (f"{folder}/{name}" for folder in folders)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def check_size(size: int) -> None:
    """Several are in memory at once, and an archive may claim anything."""
    if size > MOST_BYTES:
        raise ValueError(f"a file of {size / 2**20:,.0f} MiB; a picture's may have {MOST_BYTES / 2**20:,.0f}")
