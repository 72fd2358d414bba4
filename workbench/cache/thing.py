"""A thing of a cache: a folder that stays or goes as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PICTURES = "pictures"
GONE = ".gone"  # the end of the name of what a process took away, and died before it was deleted


@dataclass(frozen=True)
class File:
    """As a listing has it."""

    bytes: int
    changed: float  # seconds since 1970
    shared: bool = False  # its bytes are another file's, too: a hard link


@dataclass(frozen=True)
class Thing:
    """One of them."""

    name: str  # below the cache
    kind: str  # artifact, unfinished, left over, pictures, or one of _GROUPS
    files: Mapping[str, File]  # by name below the cache
    needs: tuple[str, ...] = ()  # names of what it was made of
    recipes: tuple[str, ...] = ()  # that used it
    used: float = 0.0  # seconds since 1970, when it was made or a run last used it
    running: bool = False  # a living process makes it, or uses it
    is_whole: bool = True  # else some files of the folder

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values() if not file.shared)

    @property
    def base(self) -> str:
        """Without what says that it is unfinished, or not all here."""
        return self.name.partition(".")[0]

    @property
    def is_made(self) -> bool:
        """Under a lock."""
        return self.kind not in (PICTURES, "left over")
