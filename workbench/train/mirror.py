"""Checkpoints in an object store, so that a training outlives its machine.

<url>/<folder's name>/step-00001200-of-00020000/…   position.json is put last and removed first: it makes it one
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from shutil import rmtree

from workbench.artifacts.bucket import CHUNK, Bucket
from workbench.artifacts.store import fsync
from workbench.errors import MlimError
from workbench.train.checkpoint import POSITION, Checkpoint, open_checkpoint

Kept = Callable[[Sequence[Checkpoint]], Sequence[Checkpoint]]


class Mirror:
    """The checkpoints of a folder, below a URL; a thread brings them there. What fails is told, and tried again when
    the next one is written; but it is an error where nobody can say what was there when the run began."""

    def __init__(self, url: str, folder: Path, say: Callable[[str], None]) -> None:
        self._bucket, self._folder, self._say = Bucket(url), folder, say
        self._sender = ThreadPoolExecutor(1, "mirror")
        self._sending: Future[None] | None = None
        self.sent = ""  # the name of the one being sent, which must stay here meanwhile

    @cached_property
    def there(self) -> dict[str, Checkpoint]:
        """The complete ones when this run began, by name. Raises MlimError."""
        return {checkpoint.name: checkpoint for checkpoint in self._complete()}

    def fetch(self, checkpoint: Checkpoint) -> None:
        """Bring one here. Raises OSError or ValueError where it can't be, MlimError where the store doesn't answer."""
        final, aside = self._folder / checkpoint.name, self._folder / f"{checkpoint.name}.tmp"
        self._say(f"{checkpoint.name} is taken from {self._bucket.shown}")
        rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name, size in checkpoint.sizes.items():
            with (aside / name).open("wb") as out:
                for start in range(0, size, CHUNK):
                    out.write(self._bucket.read(self._path(checkpoint, name), start, min(start + CHUNK, size)))
        (aside / POSITION).write_text(checkpoint.text())
        open_checkpoint(aside)
        for path in (*aside.iterdir(), aside):
            fsync(path)
        aside.rename(final)

    def soon(self, kept: Kept) -> None:
        """Bring there what is new here and is `kept`, and remove there what is not; meanwhile."""
        if self._sending:
            self._sending.cancel()  # if it still waits: this one does its work
        self._sending = self._sender.submit(self._send, kept)

    def settle(self) -> None:
        """Wait until everything is there, or could not be."""
        if self._sending:
            self._sending.result()

    def close(self, wait: bool) -> None:
        """The end; `wait` as `settle` does."""
        self._sender.shutdown(wait=wait, cancel_futures=not wait)

    def remove(self) -> None:
        """All of them. Raises MlimError."""
        self._remove_but(set())
        self.__dict__.pop("there", None)

    def _send(self, kept: Kept) -> None:
        from workbench.train.checkpoints import complete

        try:
            here = {c.name: c for c in complete(self._folder)}
            there = {c.name: c for c in self._complete()}
            stay = {c.name for c in kept(list((there | here).values()))}
            for name in sorted(here.keys() & stay - there.keys(), reverse=True):
                self._send_one(here[name])
            self._remove_but(stay)
        except (MlimError, OSError) as error:
            self._say(f"checkpoints are not copied to {self._bucket.shown} for now: {error}")

    def _send_one(self, checkpoint: Checkpoint) -> None:
        self.sent = checkpoint.name
        try:
            for file in (*checkpoint.sizes, POSITION):
                self._bucket.send(self._folder / checkpoint.name / file, self._path(checkpoint, file))
        except FileNotFoundError:
            if (self._folder / checkpoint.name).is_dir():
                raise
        finally:
            self.sent = ""

    def _remove_but(self, stay: set[str]) -> None:
        """Also what a killed run had sent of one."""
        sizes = self._bucket.sizes(self._folder.name)
        for path in sorted(sizes, key=lambda path: not path.endswith(f"/{POSITION}")):
            if path.partition("/")[0] not in stay:
                self._bucket.delete(f"{self._folder.name}/{path}")

    def _complete(self) -> list[Checkpoint]:
        sizes = self._bucket.sizes(self._folder.name)
        found = []
        for path in (path for path in sizes if path.endswith(f"/{POSITION}")):
            try:
                checkpoint = Checkpoint.parse(self._bucket.read(f"{self._folder.name}/{path}"))
            except (FileNotFoundError, ValueError):
                continue
            if all(sizes.get(f"{checkpoint.name}/{name}") == size for name, size in checkpoint.sizes.items()):
                found.append(checkpoint)
        return found

    def _path(self, checkpoint: Checkpoint, file: str) -> str:
        return f"{self._folder.name}/{checkpoint.name}/{file}"
