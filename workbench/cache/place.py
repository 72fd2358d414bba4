"""Where a cache lies, a folder or an object store: what is asked of either to look after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from workbench.artifacts.bucket import CHUNK
from workbench.artifacts.lease import LEASE
from workbench.artifacts.shared import Shared
from workbench.artifacts.store import MANIFEST, Store
from workbench.artifacts.uses import USES, is_held
from workbench.cache.thing import GONE, File, Thing

POSITION = "position.json"  # train/checkpoint.py, which takes torch
WHOLE = (MANIFEST, POSITION)  # what makes an artifact, or a checkpoint, of its files: removed first


class Here:
    """A cache in a folder of this machine."""

    def __init__(self, store: Store) -> None:
        self.store, self.root, self._taken = store, store.root, list[Path]()
        self.shown = str(store.root)

    def files(self) -> dict[str, File]:
        """By name below the cache; links of a file count once."""
        found, met = dict[str, File](), set[tuple[int, int]]()
        for folder, _, names in sorted(os.walk(self.root)):
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):  # a run goes on meanwhile
                    stat = path.lstat()
                    inode = stat.st_dev, stat.st_ino
                    name = path.relative_to(self.root).as_posix()
                    found[name] = File(stat.st_size, stat.st_mtime, stat.st_nlink > 1 and inode in met)
                    met.add(inode)
        return found

    def read(self, name: str, end: int, start: int = 0) -> Iterator[bytes]:
        """A file's bytes up to `end`, part by part. Raises FileNotFoundError; EOFError where it is shorter."""
        with (self.root / name).open("rb") as file:
            file.seek(start)
            for at in range(start, end, CHUNK):
                if not (data := file.read(min(CHUNK, end - at))):
                    raise EOFError
                yield data

    def is_held(self, name: str) -> bool:
        """Whether a living process has the lock of this folder."""
        return is_held((self.root / name).with_suffix(".lock"))

    def is_used(self, record: str) -> bool:
        """Whether a living process has this record of uses."""
        return is_held(self.root / USES / record)

    def removing(self, thing: Thing) -> AbstractContextManager[None]:
        """While a thing is taken away: nobody makes it. Raises ArtifactError where somebody does."""
        return self.store.locked(thing.base) if thing.is_made else nullcontext()

    def take(self, thing: Thing) -> None:
        """Away with a thing, or with those files of it: at once for whoever looks for it. `sweep` frees the disk."""
        folder = self.root / thing.name
        if folder.is_dir() and thing.is_whole:
            self._taken.append(folder.rename(folder.with_name(f"{folder.name}{GONE}")))
        else:
            for file in thing.files:
                (self.root / file).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what was taken."""
        while self._taken:
            shutil.rmtree(self._taken.pop(), ignore_errors=True)


class There(Here):
    """A cache in an object store, with the copies of it that are on this machine."""

    store: Shared

    def __init__(self, store: Shared) -> None:
        super().__init__(store)
        self.bucket, self.shown = store.bucket, store.bucket.shown

    def files(self) -> dict[str, File]:
        return {name: File(int(info["size"]), _time(info)) for name, info in self.bucket.found("").items()}

    def read(self, name: str, end: int, start: int = 0) -> Iterator[bytes]:
        for at in range(start, end, CHUNK):
            yield self.bucket.read(name, at, min(at + CHUNK, end))

    def is_held(self, name: str) -> bool:
        lease = self.bucket.look(f"{name.partition('.')[0]}.lock")
        return lease is not None and lease.age < LEASE

    def is_used(self, record: str) -> bool:
        return False  # who lives is told by the leases of what is made

    def take(self, thing: Thing) -> None:
        for file in sorted(thing.files, key=lambda file: not file.endswith(WHOLE)):
            self.bucket.delete(file)
        super().take(thing)


def _time(info: dict[str, object]) -> float:
    """As each store tells it."""
    found = next((info[key] for key in ("LastModified", "mtime", "updated", "created") if key in info), 0.0)
    return found.timestamp() if hasattr(found, "timestamp") else float(str(found))


def place_of(store: Store) -> Here:
    return There(store) if isinstance(store, Shared) else Here(store)
