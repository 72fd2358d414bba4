"""Shards that lie in an object store: fetched before they are read, kept on disk within a limit.

They are kept in <cache>/streamed (artifacts/kept.py), which other processes may share. A shard's bytes are verified
when they come, and once more by each process that finds them on the disk. One that is deleted stays mapped, and so on
the disk, until its readers are done with it.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.kept import Kept
from workbench.artifacts.store import Artifact
from workbench.errors import RecipeError
from workbench.images.shard import Shards, shard_name

THREADS = 4  # that fetch ahead


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
        self._bucket, self._files = bucket, files
        self._turn = threading.Condition()  # guards what follows
        self._maps: dict[int, pa.Buffer] = {}
        self._given: dict[int, weakref.ref[pa.Buffer]] = {}  # tells whether somebody still reads
        self._verified: set[int] = set()
        self._busy: set[int] = set()  # a thread of ours brings it
        self._failed: dict[int, Exception] = {}
        self._wanted: dict[int, None] = {}  # in this order
        self._threads = 0
        self._kept = Kept(folder, limit)
        self._kept.make_room(self)  # the limit may have been another

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
            self._wanted = dict.fromkeys(numbers)
            self._kept.want([self._name(number) for number in self._wanted])
            for known in (self._maps, self._failed):
                for number in known.keys() - self._wanted.keys():
                    del known[number]
            for _ in range(min(THREADS, sum(map(self._is_missing, self._wanted))) - self._threads):
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
        path, file = self._kept.path(self._name(number)), self._file(number)
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
        file = self._file(number)

        def write(out: BinaryIO) -> None:
            self._bucket.read_into(out, shard_name(number), file["bytes"], file["sha256"])
            self._verified.add(number)

        return self._kept.fill(file["sha256"], file["bytes"], write, self, forced)

    def used(self) -> set[str]:
        """The shards that somebody reads, having let go of all that aren't wanted: whoever reads one holds it."""
        with self._turn:
            for number in self._maps.keys() - self._wanted.keys():
                del self._maps[number]
            return {self._name(n) for n, given in self._given.items() if n not in self._maps and given() is not None}

    def drop(self, names: Collection[str]) -> None:
        """Let go of deleted shards."""
        with self._turn:
            for number in [n for n in self._maps if self._name(n) in names]:
                del self._maps[number]

    def _file(self, number: int) -> Mapping[str, Any]:
        return self._files[shard_name(number)]

    def _name(self, number: int) -> str:
        return str(self._file(number)["sha256"])
