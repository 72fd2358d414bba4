"""How a published data set lies in its folder, as data: which files hold rows, what is joined to them, by which column.

A layout knows files; what its columns mean is the dialect's to say. `layouts.py` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


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

    def files(self, folder: Path) -> list[Path]:
        """The files with rows, naturally sorted; none when the folder lies in another way (header words aside)."""
        found = natural(folder.glob(self.rows))
        return found if all(any(folder.glob(need)) for need in self.needs) else []


def natural(paths: Iterable[Path]) -> list[Path]:
    """Files in the order a human would number them: `part-2` before `part-10`; hidden files left out."""
    files = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    return sorted(files, key=lambda path: natural_key(path.as_posix()))


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """A sort key by which digits count as numbers."""
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", text)]
