"""Shards that lie in an object store: fetched before they are read, kept on disk within a limit.

<cache>/streamed/<sha256>        a whole shard, its bytes verified when it came and once more by each process
<cache>/streamed/<sha256>.part   one on its way, as large as it will be; locked by the process that fetches it
<cache>/streamed/*.wants         the shards that a process will read next; locked while the process lives
<cache>/streamed/lock            held while room is made

Processes share the folder. Room is made by deleting what was wanted longest ago: first what no process will read next
or is reading, then what is wanted last. A deleted shard stays mapped, and so on the disk, until its readers are done
with it. Locks are those of the kernel: a process that dies leaves none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.store import Artifact
from workbench.errors import RecipeError
from workbench.images.shard import Shards, shard_name

THREADS = 4  # that fetch ahead
GRACE = 5.0  # seconds for which batches under way may still read what is no longer wanted
POLL = 0.02  # seconds between looks at what another process fetches


def open_shards(images: Artifact, states: Path | None = None) -> Shards:
    """The reader of an artifact of the images stage, wherever its shards are."""
    return Shards(images.folder, states, Streamed.of(images) if images.streamed else None)


def note_of_limit(images: Artifact, window: int | None = None, knob: str = "") -> str:
    """What to tell where the shards that are read side by side, all or `window` of them, don't fit on the disk, or "".

    `knob` is the recipe key of `window`.
    """
    if not images.away:
        return ""
    sizes = sorted(images.files[name]["bytes"] for name in images.streamed)
    beside = -(-len(sizes) // max(1, len(sizes) // (window or len(sizes))))
    if sum(sizes[-beside:]) <= images.away.kept:
        return ""
    fits = max(1, images.away.kept * len(sizes) // (2 * sum(sizes)))  # while a window is read, the next one comes
    return (
        f"note: {beside} shards are read side by side ({sum(sizes[-beside:]) / 1e9:.3g} GB), and runtime.remote_bytes "
        f"keeps {images.away.kept / 1e9:.3g} GB: each is fetched again and again; raise that"
        + (f", or set {knob} to {fits} (docs/streaming.md)" if knob else "")
    )


class Streamed:
    """The shards of an artifact, as the protocol `Files` asks for them; safe to use from several threads."""

    def __init__(self, bucket: Bucket, files: Mapping[str, Mapping[str, Any]], folder: Path, limit: int) -> None:
        """`files` as in a manifest; at most `limit` bytes are kept in `folder`.

        Raises RecipeError where a shard is larger than that.
        """
        most = max((file["bytes"] for file in files.values()), default=0)
        if most > limit:
            raise RecipeError(
                f"runtime.remote_bytes: {limit}; a shard of {bucket.shown} takes {most}: give that at least, or lower "
                "images.shard_pictures and push again"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._bucket, self._files, self._folder, self._limit = bucket, files, folder, limit
        self._turn = threading.Condition()  # guards what follows
        self._maps: dict[int, pa.Buffer] = {}
        self._given: dict[int, weakref.ref[pa.Buffer]] = {}  # tells whether somebody still reads
        self._verified: set[int] = set()
        self._busy: set[int] = set()  # a thread of ours brings it
        self._failed: dict[int, Exception] = {}
        self._wanted: dict[int, int] = {}  # shard -> when it will be read: 0, 1, …
        self._threads = 0
        self._wants = _Wants(folder)
        self._make_room(0, None, forced=False)  # the limit may have been another

    @classmethod
    def of(cls, images: Artifact) -> Streamed:
        assert images.away
        files = {name: images.files[name] for name in images.streamed}
        bucket = Bucket(f"{images.away.url}/{images.folder.stem}")
        return cls(bucket, files, images.folder.parent / "streamed", images.away.kept)

    def shard(self, number: int) -> memoryview:
        """A whole shard, valid as long as it is held. Raises ArtifactError where it can't be had."""
        with self._turn:
            while True:
                if (buffer := self._maps.get(number)) is not None:
                    return memoryview(buffer).cast("B")
                if error := self._failed.pop(number, None):
                    raise error
                if number not in self._busy:
                    break
                self._turn.wait()
            self._busy.add(number)
        buffer = self._bring(number, forced=True)
        assert buffer is not None
        return memoryview(buffer).cast("B")

    def want(self, numbers: Sequence[int]) -> None:
        """The shards that are read from now on, in this order: they are fetched ahead and not deleted before.

        What an earlier call named and this one doesn't is not wanted any more.
        """
        with self._turn:
            left = self._wanted.keys() - set(numbers)
            if list(self._wanted) != list(numbers):
                self._wanted = {number: when for when, number in enumerate(numbers)}
                self._wants.write(self._name(number) for number in numbers)
            for number in left:
                with suppress(FileNotFoundError):
                    os.utime(self._path(number))  # wanted until now
            for known in (self._maps, self._failed):
                for number in known.keys() - self._wanted.keys():
                    del known[number]
            for _ in range(min(THREADS, sum(map(self._is_missing, numbers))) - self._threads):
                self._threads += 1
                threading.Thread(target=self._fetch_ahead, name="shards", daemon=True).start()

    def _is_missing(self, number: int) -> bool:
        return not (number in self._maps or number in self._busy or number in self._failed)

    def _fetch_ahead(self) -> None:
        """Bring what is wanted, the next first, until all is here or there is no room: the next `want` goes on."""
        while True:
            with self._turn:
                number = next(filter(self._is_missing, self._wanted), None)
                if number is None:
                    self._threads -= 1
                    return
                self._busy.add(number)
            if self._bring(number, forced=False) is None and number not in self._failed:
                with self._turn:
                    self._threads -= 1
                return

    def _bring(self, number: int, forced: bool) -> pa.Buffer | None:
        """Map a shard that is marked busy, fetching it if need be.

        None where there is no room for one not `forced`, and on an error, which is left for who reads the shard.
        """
        buffer: pa.Buffer | None = None
        try:
            while (buffer := self._mapped(number)) is None and self._fetch(number, forced):
                pass
        except Exception as error:
            if forced:
                raise
            self._failed[number] = error
        finally:
            with self._turn:
                self._busy.remove(number)
                if buffer is not None:
                    self._maps[number] = buffer
                    self._given[number] = weakref.ref(buffer)
                self._turn.notify_all()
        return buffer

    def _mapped(self, number: int) -> pa.Buffer | None:
        """A shard of the disk, mapped; None where it isn't there or isn't what it should be."""
        path, file = self._path(number), self._file(number)
        try:
            if not file["bytes"]:
                return pa.py_buffer(b"")  # which can't be mapped
            with pa.memory_map(str(path)) as opened:
                buffer = opened.read_buffer()  # keeps the mapping, and no descriptor
        except FileNotFoundError:
            return None
        if number not in self._verified:
            if len(buffer) != file["bytes"] or hashlib.sha256(buffer).hexdigest() != file["sha256"]:
                path.unlink(missing_ok=True)
                return None
            self._verified.add(number)
        return buffer

    def _fetch(self, number: int, forced: bool) -> bool:
        """Have the shard on the disk, by our own doing or by another process's; False where there is no room."""
        file, path = self._file(number), self._path(number)
        part = path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as out:
            if not _locked(out) or not _is_at(out, part):  # another process fetches it, or has just done so
                time.sleep(POLL)
                return True
            try:
                room = path.exists() or self._make_room(file["bytes"], self._wanted.get(number), forced, out)
                if room and not path.exists():
                    self._bucket.read_into(out, shard_name(number), file["bytes"], file["sha256"])
                    self._verified.add(number)
                    part.replace(path)
                    return True
                part.unlink()
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        if not room and forced:
            time.sleep(POLL)  # until what others fetch is here and can be deleted
        return room or forced

    def _make_room(self, size: int, when: int | None, forced: bool, out: BinaryIO | None = None) -> bool:
        """Delete shards until `size` bytes more are within the limit, which `out` takes at once; else nothing.

        The room is for a shard that is read at `when`; if not `forced`, nothing is deleted that is read before.
        """
        with _hold(self._folder / "lock"):
            over = size - self._limit + _coming(self._folder, out)  # counted first: it may be there in a moment
            there = _complete(self._folder)
            over += sum(stat.st_size for stat in there.values())
            chosen: list[str] = []
            for name in self._victims(there, when, forced) if over > 0 else ():
                chosen.append(name)
                over -= there[name].st_size
                if over <= 0:
                    break
            if over > 0:
                return False
            for name in chosen:
                (self._folder / name).unlink(missing_ok=True)
            if out:
                os.ftruncate(out.fileno(), size)
            with self._turn:
                for number in [n for n in self._maps if self._name(n) in chosen]:
                    del self._maps[number]
            return True

    def _victims(self, there: Mapping[str, os.stat_result], when: int | None, forced: bool) -> list[str]:
        """What may be deleted, in the order in which it should be."""
        others, young = self._wants.of_others(), time.time() - GRACE
        with self._turn:
            for number in self._maps.keys() - self._wanted.keys():
                del self._maps[number]  # whoever reads it holds it
            read = {self._name(n) for n, given in self._given.items() if n not in self._wanted and given() is not None}
            ours = {self._name(n): later for n, later in self._wanted.items()}
        never = -1  # a shard that is not wanted is deleted before all that are
        ranked = []
        for name, stat in there.items():
            later = ours.get(name, never)
            before = stat.st_mtime > young if later == never else when is None or later <= when
            spared = before or name in others or name in read
            if forced or not spared:
                ranked.append((name in others, later != never, name in read, -later, stat.st_mtime_ns, name))
        return [name for *_, name in sorted(ranked)]

    def _file(self, number: int) -> Mapping[str, Any]:
        return self._files[shard_name(number)]

    def _name(self, number: int) -> str:
        return str(self._file(number)["sha256"])

    def _path(self, number: int) -> Path:
        return self._folder / self._name(number)


class _Wants:
    """What a process will read next, for the others that share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _hold(folder / "lock"):  # an unlocked one is taken for a dead process's
            handle, path = tempfile.mkstemp(".wants", dir=folder)
            self._file = os.fdopen(handle, "r+b")
            _locked(self._file)
        self._path = Path(path)
        weakref.finalize(self, self._path.unlink, missing_ok=True)

    def write(self, names: Iterable[str]) -> None:
        """A reader may meanwhile see half of it, which costs it no more than a download."""
        data = "\n".join(names).encode()
        os.pwrite(self._file.fileno(), data, 0)
        os.ftruncate(self._file.fileno(), len(data))

    def of_others(self) -> set[str]:
        """The names that other living processes want."""
        names: set[str] = set()
        for path in self._folder.glob("*.wants"):
            if path != self._path:
                with suppress(FileNotFoundError), path.open("rb") as file:
                    if _locked(file):
                        path.unlink()
                    else:
                        names.update(file.read().decode().split("\n"))
        return names


def _complete(folder: Path) -> dict[str, os.stat_result]:
    """The whole shards in the folder."""
    found = {}
    for entry in os.scandir(folder):
        if len(entry.name) == 64:
            with suppress(FileNotFoundError):  # a damaged one was deleted meanwhile
                found[entry.name] = entry.stat()
    return found


def _coming(folder: Path, ours: BinaryIO | None) -> int:
    """Bytes that shards on their way will take; what a dead process left is deleted."""
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
