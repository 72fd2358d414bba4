"""Where a feed's pictures lie: a folder, a .zip or a .tar, read in place, by name, from several threads.

A name `CONTAINER::MEMBER` is that of a picture within a file of the folder: a member of an archive, or a row and column
of Parquet, Arrow or HDF5 (`train-0.parquet::17::image`). Nothing outside the folder is read.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol

from workbench.artifacts.mirror import bring
from workbench.errors import DataError
from workbench.images.containers import Container, Tar, Zip, open_container
from workbench.images.names import SUBFOLDERS, Absent, Names, candidates, check_size, inside
from workbench.recipe.schema import Feed

__all__ = ["Absent", "Pictures", "open_pictures", "place_of"]

OPEN_CONTAINERS = 32
MOST_LISTED = 5_000_000  # names, for finding those that differ from the feed's by case or accents
SIGHTED = 8  # names by which another machine tells that a folder is the same there


class Sight(NamedTuple):
    path: Path
    key: str
    seen: Sequence[str] = ()  # names in the folder

    def open(self) -> Pictures:
        """What lies in object storage is copied there, too. Raises DataError also where what was seen is missing:
        of a shared folder that a machine lacks, all pictures would be taken for absent."""
        bring(self.path)
        for name in self.seen:
            if not os.path.lexists(self.path / name):
                raise DataError(f"{self.key}: {self.path}: {name} is not in the folder as this machine sees it")
        return open_pictures(self.path, self.key)


class Pictures(Protocol):
    def sight(self) -> Sight:
        """What it takes to open them on another machine."""

    def read(self, name: str) -> bytes:
        """The bytes of a picture. Raises Absent when there is none, OSError or ValueError when it can't be read."""

    def usual(self, name: str) -> str | None:
        """The path of a file of exactly that name; the disk isn't asked whether there is one."""

    def file(self, name: str) -> str | None:
        """The file that a picture is; None for one within an archive or a container. Raises Absent."""

    def missing(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are not there, told without reading; of containers only whether they are there."""


def place_of(feed: Feed) -> Path:
    """The folder or archive below which the names of a feed's pictures are."""
    if feed.pictures:
        return feed.pictures
    if feed.path:
        return feed.path if feed.path.is_dir() else feed.path.parent
    if feed.dataset:
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        return Path(os.environ.get("HF_HOME", f"{cache}/huggingface")).expanduser()
    return Path()


def open_pictures(path: Path, key: str) -> Pictures:
    """Open a feed's pictures; `key` is the recipe key that names them, for errors.

    Raises DataError when the path is neither a folder nor a readable .zip or .tar.
    """
    try:
        if path.is_dir():
            return _Folder(path, key)
        return _Packed(path, key)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) else "neither a zip nor an uncompressed tar, or damaged"
        raise DataError(f"{key}: {path}: {found}; expected a folder, a .zip or a .tar of pictures") from None


class _Packed:
    """One archive."""

    def __init__(self, path: Path, key: str) -> None:
        self._origin = path, key
        self._archive = Zip(path) if zipfile.is_zipfile(path) else Tar(path)

    def sight(self) -> Sight:
        return Sight(*self._origin)

    def read(self, name: str) -> bytes:
        return self._archive.read(name)

    def usual(self, name: str) -> str | None:
        return None

    file = usual

    def missing(self, names: Iterable[str]) -> set[str]:
        lost = set()
        for name in names:
            try:
                self._archive.find(name)
            except Absent:
                lost.add(name)
        return lost


class _Folder:
    def __init__(self, path: Path, key: str) -> None:
        self._origin = path, key
        self._path = str(path)
        self._root = os.path.realpath(path)
        self._folders = [folder for folder in SUBFOLDERS if os.path.isdir(f"{self._root}/{folder}")]
        self._straight = set[str]()  # folders below it to which no link leads
        self._names = Names(lambda: islice(_files(self._root), MOST_LISTED))
        self._lock = Lock()
        self._containers: OrderedDict[Path, Container] = OrderedDict()

    def sight(self) -> Sight:
        with os.scandir(self._root) as entries:
            return Sight(*self._origin, [entry.name for entry in islice(entries, SIGHTED)])

    def read(self, name: str) -> bytes:
        outer, mark, member = name.partition("::")
        path = Path(self._find(outer if mark else name))
        if mark:
            return self._container(path).read(member)
        check_size(path.stat().st_size)
        return path.read_bytes()

    def usual(self, name: str) -> str | None:
        return f"{self._path}/{name}"

    def file(self, name: str) -> str | None:
        return None if "::" in name else self._find(name)

    def missing(self, names: Iterable[str]) -> set[str]:
        with self._lock:
            known = set(islice(_files(self._root), MOST_LISTED))
        return {name for name in names if not self._is_known(name, known)}

    def _is_known(self, name: str, known: set[str]) -> bool:
        with suppress(Absent):
            if any(candidate in known for candidate in candidates(inside(name.partition("::")[0]), self._folders)):
                return True
            self._find(name.partition("::")[0])
            return True
        return False

    def _find(self, name: str) -> str:
        """The file of that name, or the only one like it. Raises Absent."""
        name = name.replace("\\", "/")
        if name.startswith(f"{self._root}/"):
            name = os.path.relpath(name, self._root)
        name = inside(name)
        for candidate in candidates(name, self._folders):
            if path := self._file(candidate):
                return path
        with self._lock:
            for candidate in candidates(name, self._folders):
                with suppress(Absent):
                    if path := self._file(self._names.like(candidate)):
                        return path
            self._names.like(name)  # raises Absent, with its reason
        raise Absent("no such file")

    def _file(self, name: str) -> str | None:
        path, folder = f"{self._root}/{name}", name.rpartition("/")[0]
        try:
            mode = os.lstat(path).st_mode
            if folder not in self._straight or stat.S_ISLNK(mode):
                path = os.path.realpath(path)
                mode = os.stat(path).st_mode
                if not Path(path).is_relative_to(self._root):
                    raise Absent("outside the folder of pictures")  # through a link
                if os.path.dirname(path) == f"{self._root}/{folder}".rstrip("/"):
                    self._straight.add(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            raise Absent("no such file, and not a file name") from None
        if not stat.S_ISREG(mode):
            raise Absent("not a file")
        return path

    def _container(self, path: Path) -> Container:
        """Opened once, the last few kept: shards come one after the other."""
        with self._lock:
            if path in self._containers:
                self._containers.move_to_end(path)
                return self._containers[path]
            try:
                container = open_container(path)
            except Exception as error:
                raise ValueError(f"its file {path.name} can't be read ({str(error)[:100]})") from error
            self._containers[path] = container
            if len(self._containers) > OPEN_CONTAINERS:
                self._containers.popitem(last=False)
            return container


def _files(root: str) -> Iterator[str]:
    """The names of all files below a folder, relative to it; folders behind links are left out."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError), os.scandir(f"{root}/{folder}") as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                else:
                    yield name
