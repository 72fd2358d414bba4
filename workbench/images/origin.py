"""Where a feed's pictures lie: a folder, a .zip or a .tar, read in place, by name, from several threads."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Protocol

from workbench.errors import DataError

MOST_BYTES = 512 * 2**20


class Absent(Exception):
    """There is no such picture; the message is the reason."""


class Pictures(Protocol):
    def read(self, name: str) -> bytes:
        """The bytes of a picture. Raises Absent when there is none, OSError or ValueError when it can't be read."""


def open_pictures(path: Path, key: str) -> Pictures:
    """Open a feed's pictures; `key` is the recipe key that names them, for errors.

    Raises DataError when the path is neither a folder nor a readable .zip or .tar.
    """
    try:
        if path.is_dir():
            return _Folder(path)
        if zipfile.is_zipfile(path):
            return _Zip(path)
        return _Tar(path)
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        found = error.strerror if isinstance(error, OSError) else "neither a zip nor an uncompressed tar, or damaged"
        raise DataError(f"{key}: {path}: {found}; expected a folder, a .zip or a .tar of pictures") from None


class _Folder:
    def __init__(self, path: Path) -> None:
        self._root = Path(os.path.realpath(path))

    def read(self, name: str) -> bytes:
        name = name.replace("\\", "/")
        if os.path.isabs(name):
            name = os.path.relpath(name, self._root)
        try:
            path = Path(os.path.realpath(self._root / _inside(name)))
            if not path.is_relative_to(self._root):
                raise Absent("outside the folder of pictures")  # through a link
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise Absent("not a file")
        except (FileNotFoundError, NotADirectoryError):
            raise Absent("no such file") from None
        except (OSError, ValueError):  # a name that no file can have
            raise Absent("no such file, and not a file name") from None
        _check_size(found.st_size)
        return path.read_bytes()


class _Zip:
    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)  # its reads are serialised by a lock of its own
        self._members = {posixpath.normpath(m.filename.replace("\\", "/")): m for m in self._zip.infolist()}

    def read(self, name: str) -> bytes:
        member = self._members.get(_inside(name))
        if member is None or member.is_dir():
            raise Absent("no such file")
        _check_size(member.file_size)
        try:
            return self._zip.read(member)
        except RuntimeError:
            raise ValueError("encrypted in its archive") from None
        except Exception as error:  # BadZipFile, EOFError, zlib.error, lzma.LZMAError …: one for each damage and method
            raise ValueError("damaged in its archive") from error


class _Tar:
    def __init__(self, path: Path) -> None:
        with tarfile.open(path, "r:") as tar:
            self._members: dict[str, tuple[int, int]] = {}  # name -> offset and bytes
            for member in tar:
                name = posixpath.normpath(member.name)
                if member.isreg():
                    self._members[name] = (member.offset_data, member.size)
                elif member.islnk() and (target := self._members.get(posixpath.normpath(member.linkname))):
                    self._members[name] = target
        self._file = path.open("rb")

    def read(self, name: str) -> bytes:
        if (place := self._members.get(_inside(name))) is None:
            raise Absent("no such file")
        _check_size(place[1])
        return os.pread(self._file.fileno(), place[1], place[0])


def _check_size(size: int) -> None:
    """Several are in memory at once, and an archive may claim anything."""
    if size > MOST_BYTES:
        raise ValueError(f"a file of {size / 2**20:,.0f} MiB; a picture's may have {MOST_BYTES / 2**20:,.0f}")


def _inside(name: str) -> str:
    """The name as archives write it; Absent for one that leads elsewhere."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        raise Absent("a web address, not the name of a file")
    name = posixpath.normpath(name.replace("\\", "/"))
    if name.startswith(("../", "/")) or name == "..":
        raise Absent("outside the folder of pictures")
    return name
