"""Pictures within a file that holds more: zip, tar, Parquet, Arrow, HDF5; read in place, from several threads."""

from __future__ import annotations

import os
import posixpath
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from workbench.images.cells import Arrow, Hdf5, Parquet
from workbench.images.names import SUBFOLDERS, Absent, Names, candidates, check_size, inside


class Container(Protocol):
    def read(self, name: str) -> bytes:
        """The bytes of a picture. Raises Absent when there is none, OSError or ValueError when it can't be read."""


def open_container(path: Path) -> Container:
    """Open a file by what its first bytes say it is. Raises OSError, ValueError, TarError or BadZipFile for others."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1"):
        return Parquet(path)
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return Arrow(path)
    if head.startswith(b"\x89HDF"):
        return Hdf5(path)
    return Zip(path) if zipfile.is_zipfile(path) else Tar(path)


class _Archive:
    """Members by their names, and by names like them."""

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        tops = {name.partition("/")[0] for name in members if not name.startswith("__MACOSX")}
        folders = {name.rpartition("/")[0] for name in members}
        self._folders = [folder for folder in SUBFOLDERS if any(name.startswith(f"{folder}/") for name in folders)]
        if len(tops) == 1:  # everything was packed within one folder
            self._folders += tops
        self._names = Names(lambda: members)

    def find(self, name: str) -> Any:
        name = inside(name)
        for candidate in candidates(name, self._folders):
            if (member := self._members.get(candidate)) is not None:
                return member
        for candidate in candidates(name, self._folders):
            with suppress(Absent):
                return self._members[self._names.like(candidate)]
        return self._members[self._names.like(name)]  # raises Absent, with its reason


class Zip(_Archive):
    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)  # its reads are serialised by a lock of its own
        super().__init__({_member_name(member): member for member in self._zip.infolist() if not member.is_dir()})

    def read(self, name: str) -> bytes:
        member = self.find(name)
        check_size(member.file_size)
        try:
            return self._zip.read(member)
        except RuntimeError:
            raise ValueError("encrypted in its archive") from None
        except Exception as error:  # BadZipFile, EOFError, zlib.error, lzma.LZMAError …: one for each damage and method
            raise ValueError("damaged in its archive") from error


def _member_name(member: zipfile.ZipInfo) -> str:
    """Many packers write UTF-8 and don't mark it so; zipfile then reads the code page of MS-DOS."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return posixpath.normpath(name.replace("\\", "/"))


class Tar(_Archive):
    def __init__(self, path: Path) -> None:
        members: dict[str, tuple[int, int]] = {}  # name -> offset and bytes
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = posixpath.normpath(member.name)
                if member.isreg() and not member.issparse():
                    members[name] = (member.offset_data, member.size)
                elif member.islnk() and (target := members.get(posixpath.normpath(member.linkname))):
                    members[name] = target
                tar.members = []  # type: ignore[attr-defined]  # else each is held twice
        self._file = path.open("rb")
        super().__init__(members)

    def read(self, name: str) -> bytes:
        offset, size = self.find(name)
        check_size(size)
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) < size:
            raise ValueError("cut off at the end of its archive")
        return data
