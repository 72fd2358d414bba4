"""A folder of files by digest that several processes share, kept within a limit of bytes.

<folder>/<sha256>        a whole file
<folder>/<sha256>.part   one on its way, as large as it will be; locked by the process that writes it
<folder>/*.wants         the files that a process will read next; locked while the process lives
<folder>/lock            held while room is made

Room is made by deleting what was wanted longest ago: first what no process will read next or is reading, then what is
wanted last. Locks are those of the kernel: a process that dies leaves none.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

GRACE = 5.0  # seconds for which batches under way may still read what is no longer wanted
POLL = 0.02  # seconds between looks at what another process writes


class Reader(Protocol):
    """Who maps files of the folder: a deleted one takes its room until nobody holds it."""

    def used(self) -> set[str]:
        """The files that are being read, having let go of all that are neither read nor wanted."""

    def drop(self, names: Collection[str]) -> None:
        """Let go of these files, which were deleted."""


class Kept:
    """The files of one reader in the folder; safe to use from several threads."""

    def __init__(self, folder: Path, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limit = folder, limit
        self._wanted: dict[str, int] = {}  # file -> when it will be read: 0, 1, …
        with _hold(folder / "lock"):  # an unlocked one is taken for a dead process's
            handle, wants = tempfile.mkstemp(".wants", dir=folder)
            self._wants, self._wants_path = os.fdopen(handle, "r+b"), Path(wants)
            _locked(self._wants)
        weakref.finalize(self, self._wants_path.unlink, missing_ok=True)

    def path(self, name: str) -> Path:
        return self._folder / name

    def want(self, names: Sequence[str]) -> None:
        """The files that are read from now on, in this order; what only an earlier call named isn't wanted any more."""
        if list(self._wanted) == list(names):
            return
        left, self._wanted = self._wanted.keys() - set(names), {name: when for when, name in enumerate(names)}
        for name in left:
            with suppress(FileNotFoundError):
                os.utime(self.path(name))  # wanted until now
        data = "\n".join(names).encode()  # who reads half of it meanwhile pays at most a download
        os.pwrite(self._wants.fileno(), data, 0)
        os.ftruncate(self._wants.fileno(), len(data))

    def fill(self, name: str, size: int, write: Callable[[BinaryIO], None], reader: Reader, forced: bool) -> bool:
        """Have `write` write a file, or wait while another process does, and be called again; False for no room.

        Where it is not `forced`, nothing is deleted that is read before this file.
        """
        part = self.path(f"{name}.part")
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as out:
            if not _locked(out) or not _is_at(out, part):  # another process writes it, or has just done so
                time.sleep(POLL)
                return True
            try:
                room = self.path(name).exists() or self.make_room(reader, size, out, forced, self._wanted.get(name))
                if room and not self.path(name).exists():
                    write(out)
                    part.replace(self.path(name))
                    return True
                part.unlink()
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        if not room and forced:
            time.sleep(POLL)  # until what others write is here and can be deleted
        return room or forced

    def make_room(
        self,
        reader: Reader,
        size: int = 0,
        out: BinaryIO | None = None,
        forced: bool = False,
        when: int | None = None,
    ) -> bool:
        """Delete files until `size` bytes more, read at `when`, are within the limit; `out` takes them at once.

        False, with nothing deleted, where they can't be.
        """
        with _hold(self._folder / "lock"):
            over = size - self._limit + _coming(self._folder, out)  # counted first: it may be there in a moment
            there = _complete(self._folder)
            over += sum(stat.st_size for stat in there.values())
            chosen: list[str] = []
            for name in self._victims(there, reader, forced, when) if over > 0 else ():
                chosen.append(name)
                over -= there[name].st_size
                if over <= 0:
                    break
            if over > 0:
                return False
            for name in chosen:
                self.path(name).unlink(missing_ok=True)
            reader.drop(chosen)
            if out:
                os.ftruncate(out.fileno(), size)
            return True

    def _victims(
        self, there: Mapping[str, os.stat_result], reader: Reader, forced: bool, when: int | None
    ) -> list[str]:
        """What may be deleted, in the order in which it should be."""
        used, others, young = reader.used(), self._wanted_by_others(), time.time() - GRACE
        wanted, never = self._wanted, -1  # a file that is not wanted is deleted before all that are
        ranked = []
        for name, stat in there.items():
            later = wanted.get(name, never)
            before = stat.st_mtime > young if later == never else when is None or later <= when
            if forced or not (before or name in others or name in used):
                ranked.append((name in others, later != never, name in used, -later, stat.st_mtime_ns, name))
        return [name for *_, name in sorted(ranked)]

    def _wanted_by_others(self) -> set[str]:
        """What other living processes will read next."""
        names: set[str] = set()
        for path in self._folder.glob("*.wants"):
            if path != self._wants_path:
                with suppress(FileNotFoundError), path.open("rb") as file:
                    if _locked(file):
                        path.unlink()
                    else:
                        names.update(file.read().decode().split("\n"))
        return names


def _complete(folder: Path) -> dict[str, os.stat_result]:
    """The whole files in the folder."""
    found = {}
    for entry in os.scandir(folder):
        if len(entry.name) == 64:
            with suppress(FileNotFoundError):  # a damaged one was deleted meanwhile
                found[entry.name] = entry.stat()
    return found


def _coming(folder: Path, ours: BinaryIO | None) -> int:
    """Bytes that files on their way will take; what a dead process left is deleted."""
    total = 0
    for path in folder.glob("*.part"):
        with suppress(FileNotFoundError), path.open("rb") as file:
            if ours and _is_at(ours, path):
                continue
            if _locked(file):
                path.unlink()
            else:
                total += path.stat().st_size
    return total


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _locked(file: BinaryIO) -> bool:
    """Take the lock of an open file, until it is closed; False where somebody holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
