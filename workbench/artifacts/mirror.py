"""Copies of what lies in object storage, made before it is read.

A copy has the object's time, to the nanosecond that its other marks (ETag, version) are hashed to: size and time tell
whether it is still the same, with no record that could disagree with the files. So whatever a killed run has copied
counts, and what isn't there any more, or is another by now, is noticed by one listing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import sys
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from workbench.artifacts.bucket import Bucket
from workbench.errors import ArtifactError, DataError
from workbench.progress import QUIET, Progress
from workbench.recipe.places import url_of

AT_ONCE = 16  # requests
PIECE = 1 << 23  # bytes of one request
LONGEST = 255  # bytes of a file's name
SHARE = 4096  # files that are given to the threads at once
ROUNDS = 4  # of listing and copying what has changed
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_MARKS = ("ETag", "etag", "VersionId", "generation", "md5Hash", "crc32c")
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


@dataclass(frozen=True, slots=True)  # there may be a million
class Object:
    """What a listing says of a file."""

    name: str  # below its bucket
    size: int
    time: int  # ns since 1970
    md5: str | None

    @classmethod
    def of(cls, name: str, info: Mapping[str, Any]) -> Object:
        when = next((info[key] for key in _TIMES if info.get(key)), 0)
        when = datetime.fromisoformat(when) if isinstance(when, str) else when
        seconds = int(when.timestamp() if isinstance(when, datetime) else when)
        marks = hashlib.sha256(repr([str(when), *(info.get(key) for key in _MARKS)]).encode())
        told = info.get("ETag") or b64decode(info.get("md5Hash") or "").hex()
        md5 = _MD5.fullmatch(str(told))
        return cls(name, int(info["size"]), seconds * 10**9 + int(marks.hexdigest(), 16) % 10**9, md5 and md5[1])

    def is_at(self, path: Path) -> bool:
        """Whether the file of this machine is a copy."""
        try:
            found = path.lstat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.time)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def bring(path: Path, leave: Collection[str] = (), tell: Callable[[str], None] = say) -> None:
    """Make the copy at `path` what its object, or the objects below its address, are now. Of a path that is none of a
    copy, or an address at which there is nothing, nothing comes to be: who reads it says so.

    Hidden files, and what lies below the addresses `leave`, are left out. Raises RecipeError and ArtifactError as
    Bucket does, ArtifactError where the objects change all the time, DataError where the disk can't hold them.
    """
    if url := url_of(path):
        protocol, _, below = url.partition("://")
        name, _, key = below.partition("/")
        root = Path(str(path)[: -len(key) - 1]) if key else path
        left = [f"{out.rstrip('/')}/" for out in leave if out.startswith(f"{url}/")]
        with _alone(root, tell):
            _Mirror(Bucket(f"{protocol}://{name}"), root, key, left, tell).bring()


def exists(path: Path) -> bool:
    """Whether there is a file or folder at a path, or at the address of which it is a copy; nothing is copied."""
    url = url_of(path)
    return bool(Bucket(url).found("")) if url else path.exists()


class _Mirror:
    """The objects of a bucket below `key`, or that one object, and their copies below `root`."""

    def __init__(self, bucket: Bucket, root: Path, key: str, leave: Sequence[str], tell: Callable[[str], None]) -> None:
        self._bucket, self._root, self._key, self._leave, self._tell = bucket, root, key, leave, tell
        self._aside = root.with_name(f".{root.name}.partial")
        self._left_out = set[str]()
        self._tells_md5 = True  # not where a store encrypts with keys of its own

    def bring(self) -> None:
        for _ in range(ROUNDS):
            there = {found.name: found for found in self._list()}
            self._clear(there)
            waiting = [found for name, found in there.items() if not found.is_at(self._root / name)]
            if not waiting:
                break
            self._copy(waiting)
        else:
            raise ArtifactError(
                f"{self._bucket.url}/{self._key}: changed while it was copied, {ROUNDS} times; run the same command "
                "again when nothing is written there"
            )
        shutil.rmtree(self._aside, ignore_errors=True)
        for name in sorted(self._left_out):
            self._tell(f"left out: {self._bucket.url}/{name}: no file here can have such a name")

    def _list(self) -> Iterator[Object]:
        for below, info in self._bucket.found(self._key).items():
            name = f"{self._key}/{below}" if self._key and below else self._key or below
            if info.get("type") == "directory" or name.endswith("/"):  # with which consoles show folders
                continue
            parts = name.split("/")
            if {"", ".", ".."} & set(parts) or max(len(os.fsencode(part)) for part in parts) > LONGEST:
                self._left_out.add(name)
            elif self._is_ours(name):
                yield Object.of(name, info)

    def _is_ours(self, name: str) -> bool:
        below, url = name[len(self._key) :].lstrip("/"), f"{self._bucket.url}/{name}/"
        return "/." not in f"/{below}" and not url.startswith(tuple(self._leave))

    def _clear(self, there: Mapping[str, Object]) -> None:
        """Remove copies of what is not there any more, and folders where there are files now."""
        top = self._root / self._key
        if top.is_file() and self._key not in there:
            top.unlink()
        for path, _, files in os.walk(top, topdown=False):
            below = Path(path).relative_to(self._root)
            for name in files:
                if (below / name).as_posix() not in there and self._is_ours((below / name).as_posix()):
                    Path(path, name).unlink()
            if Path(path) != self._root and self._is_ours(below.as_posix()):
                with suppress(OSError):  # it holds something
                    os.rmdir(path)

    def _copy(self, waiting: Sequence[Object]) -> None:
        self._aside.mkdir(parents=True, exist_ok=True)
        size = sum(found.size for found in waiting)
        count = f"{len(waiting):,} file{'s' * (len(waiting) > 1)}"
        if QUIET not in os.environ:
            self._tell(f"copying {count}, {size / 1e6:,.1f} MB, from {self._bucket.url}/{self._key}")
        if size > (free := shutil.disk_usage(self._aside).free):
            raise DataError(
                f"runtime.scratch: the disk of {self._aside} has {free / 1e9:,.1f} GB left, and {size / 1e9:,.1f} GB "
                f"are to come from {self._bucket.url}/{self._key}; give a folder on a larger disk, or a narrower URL"
            )
        for folder in {(self._root / found.name).parent for found in waiting}:
            folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE) as pool, _progress(size) as self._progress:
            small = [found for found in waiting if found.size <= PIECE]
            for start in range(0, len(small), SHARE):
                for _ in pool.map(self._copy_one, small[start : start + SHARE]):
                    pass
            for found in waiting:
                if found.size > PIECE:
                    self._copy_one(found, pool.map)

    def _copy_one(self, found: Object, mapped: Callable[..., Iterable[bytes | None]] = map) -> None:
        """A file, in pieces, going on with what a killed run has of it; nothing where it is another by now."""
        told = f"{found.name}\0{found.size}\0{found.time}".encode("utf-8", "surrogateescape")
        aside, before = self._aside / hashlib.sha256(told).hexdigest()[:32], None
        while True:
            with _on_disk(), aside.open("ab") as out:
                out.truncate(out.tell() // PIECE * PIECE)
                for start in range(out.tell(), found.size, AT_ONCE * PIECE):
                    starts = range(start, min(start + AT_ONCE * PIECE, found.size), PIECE)
                    for piece in mapped(partial(self._read, found), starts):
                        if piece is None:  # the next listing tells
                            return
                        out.write(piece)
            with aside.open("rb") as file:
                digest = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
            if self._is_right(found, digest, before):
                return self._put(found, aside)
            aside.unlink()
            before = digest

    def _read(self, found: Object, start: int) -> bytes | None:
        size = min(PIECE, found.size - start)
        with suppress(FileNotFoundError, EOFError):
            data = self._bucket.read(found.name, start, start + size)
            self._progress.advance(len(data) / 1e6)
            return data if len(data) == size else None
        return None

    def _is_right(self, found: Object, digest: str, before: str | None) -> bool:
        """Whether the bytes are those that the store has; it may mark them by something else than their MD5, which two
        equal copies tell."""
        if digest == before != found.md5:
            self._tells_md5 = False
        return not found.md5 or not self._tells_md5 or digest == found.md5

    def _put(self, found: Object, aside: Path) -> None:
        os.utime(aside, ns=(found.time, found.time))
        if not found.is_at(aside):
            raise DataError(
                f"runtime.scratch: {self._root}: its disk keeps no exact times; give a folder on a local disk"
            )
        aside.replace(self._root / found.name)


def _progress(size: int) -> Progress:
    from rich.console import Console

    return Progress(Console(stderr=True), "copy", size / 1e6, "MB")


@contextmanager
def _alone(root: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """One process at a time copies from a bucket; the others find it done."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_name(f".{root.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting: another process copies from {url_of(root)}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
            raise
        raise DataError(
            f"runtime.scratch: {error.strerror}; make room there, or give a folder on another disk"
        ) from None
