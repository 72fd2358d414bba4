"""How a published data set lies in its folder, as data: which files hold rows, what is joined to them, by which column.

A layout knows files; what its columns mean is the dialect's to say. `layouts.py` lists them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PICTURES = (
    "jpg",
    "jpeg",
    "jpe",
    "png",
    "webp",
    "gif",
    "bmp",
    "tif",
    "tiff",
    "avif",
    "heic",
    "heif",
    "jp2",
    "jxl",
    "ppm",
)


@dataclass(frozen=True)
class Join:
    """Columns of another table, looked up by a key. A file that is missing is said, not fatal; the cells stay null.

    `each`: the cell of `on` is a list of keys (`a, b` or a JSON list); what is taken is a JSON list in its order,
    without the keys that are not found.
    """

    glob: str  # files of the other table, relative to the feed's folder; all that match are one table
    on: str  # column of the rows
    their_on: str  # column of the other table; where a key is there twice, the first counts
    take: Mapping[str, str]  # new column of the rows -> column of the other table
    each: bool = False


@dataclass(frozen=True)
class Layout:
    """One way a folder may lie. It is recognised when `rows` and all of `needs` match a file."""

    name: str  # for humans, and the dialect's name
    rows: str  # glob of the files that hold rows, read in natural order, each with `file` set
    needs: tuple[str, ...] = ()  # further globs that must match, to tell it from other folders
    joins: tuple[Join, ...] = ()
    header: tuple[str, ...] = ()  # header words of files that have none (tab-separated)
    from_name: str = ""  # pattern searched in a file's relative path, its named groups become columns
    words: tuple[str, ...] = ()  # header words that the first rows file must have, to be sure

    def files(self, listing: Listing) -> list[Path]:
        """The files with rows, naturally sorted; none when the folder lies in another way (header words aside)."""
        return listing.matching(self.rows) if all(map(listing.matching, self.needs)) else []


class Listing:
    """The files of a folder, walked through once: there may be a million pictures, whose names are not kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = False
        names = []
        for path, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
            below = os.path.relpath(path, folder)
            for name in files:
                if name.rpartition(".")[2].lower() in PICTURES:
                    self.pictures = True
                elif not name.startswith("."):
                    names.append(name if below == "." else f"{below}/{name}")
        self.names = sorted(names, key=natural_key)

    def matching(self, glob: str) -> list[Path]:
        """Files whose path below the folder matches, `part-2` before `part-10`; `**/` is any folders, or none."""
        return [self.folder / name for name in self.names if matches(glob, name)]

    def ending(self, *endings: str) -> list[Path]:
        return [self.folder / name for name in self.names if name.lower().endswith(endings)]


def matches(glob: str, name: str) -> bool:
    pattern = re.escape(glob).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.fullmatch(pattern, name) is not None


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """A sort key by which digits count as numbers."""
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", text)]
