"""The checkpoints of one training: when they are written, which of them stay, and which one it goes on from."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from safetensors import SafetensorError

from workbench.errors import ArtifactError, MlimError
from workbench.recipe.schema import Checkpoints as When
from workbench.train.checkpoint import Checkpoint, Position, Saved, open_checkpoint
from workbench.train.mirror import Mirror
from workbench.train.snapshot import Snapshot

HOUR = 3600.0
FULL = (errno.ENOSPC, errno.EDQUOT)
_AS_USUAL = When()


class Checkpoints:
    """The checkpoints of one training, in a folder that no other process writes to meanwhile.

    A thread writes them. Where the disk doesn't take one, what is there of it is removed, the user is told, and the
    training goes on; only of one that `must` be there, when it is stopped, ArtifactError is raised.
    """

    def __init__(
        self,
        folder: Path,
        of: Mapping[str, Any],
        when: When = _AS_USUAL,
        *,
        best: bool = False,
        model: bytes = b"",
        say: Callable[[str], None] = lambda line: None,
        differs: Callable[[Mapping[str, Any]], Sequence[str]] = lambda of: (),
    ) -> None:
        """`of` tells what the training depends on: a checkpoint of anything else is refused, saying how it `differs`.
        `best`: the best validation's stays. `model` is the content of model.json."""
        self.folder, self._of, self._when, self._best = folder, of, when, best
        self._model, self._say, self._differs = model, say, differs
        self._said: set[str] = set()
        self._room: Snapshot | None = None
        self._writer, self._writing = ThreadPoolExecutor(1, "checkpoint"), Future[str]()
        self._writing.set_result("")
        self._since: float | None = None  # seconds trained at the last checkpoint, or when this run began
        self._mirror = Mirror(when.remote, folder, say) if when.remote else None

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown()
        if self._mirror:
            self._mirror.close(wait=kind is None or issubclass(kind, MlimError))

    def all(self) -> list[Checkpoint]:
        """The complete ones, here or at `remote` when this run began, newest first. Raises ArtifactError for those of
        another training, and where the remote can't be asked."""
        self._finish_writing()
        there = self._mirror.there if self._mirror else {}
        found = {**there, **{checkpoint.name: checkpoint for checkpoint in complete(self.folder, self._once)}}
        for checkpoint in found.values():
            if checkpoint.of != self._of:
                differs = "; ".join(self._differs(checkpoint.of)) or "what it depends on"
                raise ArtifactError(
                    f"{self.folder / checkpoint.name}: a checkpoint of another training, which differs in: {differs}; "
                    "take it away, or take back the change"
                )
        return sorted(found.values(), key=_age)

    def newest(self, fits: Callable[[Position], bool] = lambda position: True) -> Saved | None:
        """The newest of those that fit; what is damaged is passed over with a word."""
        for checkpoint in self.all():
            if fits(checkpoint.position):
                try:
                    if self._mirror and not (self.folder / checkpoint.name).is_dir():
                        self._mirror.fetch(checkpoint)
                    return checkpoint.load(self.folder)
                except (OSError, ValueError, SafetensorError) as error:
                    self._once(_passed_over(self.folder / checkpoint.name, error))
        return None

    def due(self, step: int, seconds: float) -> bool:
        """Whether one should be written after a step, when the training has taken so many seconds."""
        if self._since is None:
            self._since = seconds
        steps, minutes = self._when.steps, self._when.minutes
        return bool((steps and step % steps == 0) or (minutes and seconds - self._since >= 60 * minutes))

    def room(self) -> Snapshot | None:
        """What was given to the last `save`, once it is written: a state may be copied into it."""
        self._finish_writing()
        return self._room

    def save(self, tensors: Snapshot, position: Position, metrics: bytes, *, why: str = "", must: bool = False) -> None:
        """Write one; `tensors` are left alone until `room()` gives them back.

        It stays for good if there is a reason `why`. If it `must` be there, it is on return.
        """
        self._finish_writing()
        self._room, self._since = tensors, position.seconds
        self._writing = self._writer.submit(self._write, tensors, position, metrics, why, must)
        if must and (failure := self._finish_writing()):
            raise ArtifactError(f"{failure}; make room and run the same command again: it goes on from {self._last()}")

    def settle(self) -> None:
        """Return when the last one is written, or was found not to fit."""
        self._finish_writing()

    def finished(self, steps: int) -> None:
        """Remove what only an unfinished training of so many steps needs."""
        self._finish_writing()
        if self._mirror:
            self._mirror.settle()
        self._keep(lambda found: [c for c in found if c.position.steps != steps] + self._for_good(found))
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def remove(self) -> None:
        """All of them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._mirror:
            self._mirror.remove()

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def _finish_writing(self) -> str:
        """Why the last one isn't there, or ""; raises what was no fault of the disk."""
        return self._writing.result()

    def _write(self, tensors: Snapshot, position: Position, metrics: bytes, why: str, must: bool) -> str:
        try:
            Checkpoint(position, self._of, why, {}, 0).write(self.folder, tensors, metrics, self._model)
        except OSError as error:
            if error.errno in FULL and self._make_room():
                return self._write(tensors, position, metrics, why, must)
            failure = f"{self.folder}: the checkpoint at step {position.step} could not be written ({error}): "
            failure += f"it needs {tensors.size + len(metrics):,} bytes, {free(self.folder):,} are free"
            if not must:
                self._say(f"warning: {failure}; the training goes on, and tries again when the next one is due")
            return failure
        self._keep(self._kept)
        return ""

    def _make_room(self) -> bool:
        """Remove what a resumed run would take only if the last one were damaged, if there is any such."""
        before = len(complete(self.folder))
        self._keep(lambda found: self._kept(found, last=1))
        if more := before - len(complete(self.folder)):
            self._say(f"warning: {self.folder}: the disk is full; {more} earlier checkpoints are removed to make room")
        return more > 0

    def _keep(self, kept: Callable[[Sequence[Checkpoint]], Sequence[Checkpoint]]) -> None:
        for torn in self.folder.glob("step-*.tmp"):  # what a killed run was writing, or deleting
            shutil.rmtree(torn, ignore_errors=True)
        found = complete(self.folder)
        gone = {c.name for c in found} - {c.name for c in kept(found)} - {self._mirror.sent if self._mirror else ""}
        for folder in (self.folder / name for name in gone):
            aside = folder.rename(folder.with_name(f"{folder.name}.tmp"))  # half deleted it would be a damaged one
            shutil.rmtree(aside, ignore_errors=True)
        if self._mirror:
            self._mirror.soon(kept)

    def _kept(self, found: Sequence[Checkpoint], last: int | None = None) -> list[Checkpoint]:
        """Those that stay while a training goes on: of each length the last ones, and what stays for good."""
        lasts = [c for same in _lengths(found) for c in same[: last or self._when.last]]
        return self._with_best(lasts, found) + self._for_good(found)

    def _for_good(self, found: Sequence[Checkpoint]) -> list[Checkpoint]:
        """Those with a reason, and the first ones after every so many hours of training."""
        hourly: dict[tuple[int, int], Checkpoint] = {}
        for length, same in enumerate(_lengths(found) if self._when.hours else ()):
            for c in reversed(same):
                if passed := int(c.position.seconds / HOUR / (self._when.hours or 1)):
                    hourly.setdefault((length, passed), c)
        return self._with_best([*(c for c in found if c.why), *hourly.values()], found)

    def _with_best(self, kept: list[Checkpoint], found: Sequence[Checkpoint]) -> list[Checkpoint]:
        """And those of the best validations until then, if they are wanted."""
        best = {c.position.best_step for c in kept} if self._best else set()
        return kept + [c for c in found if c.position.step in best]

    def _last(self) -> str:
        found = sorted(complete(self.folder), key=_age)
        return f"step {found[0].position.step} ({self.folder / found[0].name})" if found else "the beginning"


def complete(folder: Path, say: Callable[[str], None] = lambda line: None) -> list[Checkpoint]:
    """The checkpoints of a folder; torn and damaged ones are passed over with a word."""
    found = []
    for path in sorted(folder.glob("step-*")):
        try:
            found.append(open_checkpoint(path))
        except (OSError, ValueError) as error:
            say(_passed_over(path, error))
    return found


def free(folder: Path) -> int:
    """Bytes that a file in this folder, which may not be there yet, can have."""
    return shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.is_dir())).free


def _passed_over(folder: Path, error: Exception) -> str:
    found = "one that was being written when a run ended" if folder.suffix == ".tmp" else f"damaged ({error})"
    return f"{folder}: {found}; an earlier checkpoint is taken"


def _lengths(found: Sequence[Checkpoint]) -> list[list[Checkpoint]]:
    """The checkpoints of trainings of each length, newest first."""
    lengths: dict[tuple[int, str], list[Checkpoint]] = {}
    for checkpoint in sorted(found, key=_age):
        lengths.setdefault((checkpoint.position.steps, checkpoint.position.rates), []).append(checkpoint)
    return list(lengths.values())


def _age(checkpoint: Checkpoint) -> tuple[int, int]:
    return -checkpoint.position.step, -checkpoint.position.steps
