"""The commands of a recipe as a process of their own, which can be killed, and of which nothing may survive."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.store import MANIFEST, Artifact
from workbench.errors import MlimError
from workbench.recipe.places import WRITTEN, path_of

MARK = "MLIM_CHAOS"  # in the environment of all processes of a chain, also of those in sessions of their own
END = 60.0  # seconds that a chain may take to save its state and end, when it is asked to
DIE = 60.0  # seconds in which the processes of a dead one must be gone; those that only just start import first
POLL = 0.002  # seconds


@dataclass(frozen=True)
class Chain:
    """A command on a recipe, in a cache and with reports of its own."""

    folder: Path
    command: Sequence[str]  # of mlim: pretrain RECIPE --set …
    url: str = ""  # of its cache, where that is in an object store
    mark: str = field(default_factory=lambda: uuid4().hex)

    @property
    def cache(self) -> Path:
        """On this machine."""
        return path_of(self.url, self._scratch, WRITTEN) if self.url else self.folder / "cache"

    @property
    def _scratch(self) -> Path:
        return self.folder.absolute() / "scratch"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def log(self) -> Path:
        return self.folder / "output.txt"

    def artifacts(self) -> list[Artifact]:
        """What it made, in that order."""
        folders = [manifest.parent for manifest in self.cache.glob("*/manifest.json") if not manifest.parent.suffix]
        return [Artifact.open(folder) for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime_ns)]

    def saved(self) -> int:
        """The step of the last checkpoint of its pre-training; 0: there is none."""
        return max((int(path.name[5:13]) for path in self.cache.glob("checkpoints/pretrain-*/step-*[0-9]")), default=0)

    def has(self, artifact: str) -> bool:
        """Whether an artifact of this folder's name is complete."""
        if (self.cache / artifact).exists() or not self.url:
            return (self.cache / artifact).exists()
        return MANIFEST in Bucket(self.url).sizes(artifact)

    def lose(self) -> None:
        """The machine: all that isn't in the object store."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    @contextmanager
    def running(self) -> Iterator[Life]:
        """A process of it; with the context ends whatever is left of that."""
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = time.time_ns()
        own = [f"runtime.cache={self.url or self.cache.absolute()}", f"runtime.reports={self.reports.absolute()}"]
        own += [f"runtime.scratch={self._scratch}"] if self.url else []
        options = [word for setting in own for word in ("--set", setting)]
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "workbench", *self.command, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {MARK: self.mark},
                start_new_session=True,  # else Ctrl-C for `mlim chaos` would be one for it too
            )
        try:
            yield Life(self, process, begun)
        finally:
            for pid in self.living():
                _kill(pid)
            process.wait()

    def run(self) -> None:
        """From where it stands to its end; MlimError where that fails."""
        with self.running() as life:
            life.process.wait()
            life.check()

    def living(self) -> list[int]:
        """Ids of its processes; of the dead ones whose parent hasn't looked yet the environment is empty."""
        mark = f"{MARK}={self.mark}".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _read(path)]


@dataclass(frozen=True)
class Life:
    """One process of a chain, from its start to its death."""

    chain: Chain
    process: subprocess.Popen[bytes]
    begun: int  # ns since 1970

    def wait_for(self, artifact: str, seconds: float, under_way: Callable[[], bool] = lambda: True) -> bool:
        """Until that long after the artifact's stage began and was `under_way`; False where the stage, or the process,
        ended before."""
        final, lock, partial = (self.chain.cache / f"{artifact}{end}" for end in ("", ".lock", ".partial"))
        since = None
        while self.process.poll() is None and not final.exists():
            opened = lock.exists() and lock.stat().st_mtime_ns > self.begun  # each process does so anew
            if since is None and opened and partial.exists() and under_way():
                since = time.monotonic()
            if since is not None and time.monotonic() - since >= seconds:
                return True
            time.sleep(POLL)
        return False

    def strike(self, how: signal.Signals) -> bool:
        """End it by a signal: its first process alone, but Ctrl-C as a terminal does, with all the others. False where
        it came to its own end first.

        Raises MlimError where it doesn't end, or its other processes survive it.
        """
        if how == signal.SIGINT:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        try:
            self.process.wait(END)
        except subprocess.TimeoutExpired:
            raise MlimError(f"{how.name}: it had not ended after {END:.0f} seconds; {self._told()}") from None
        deadline = time.monotonic() + DIE
        while (living := self.chain.living()) and time.monotonic() < deadline:
            time.sleep(POLL)
        if living:
            raise MlimError(f"{how.name}: {len(living)} of its processes outlived it by {DIE:.0f} seconds")
        return self.process.returncode != 0

    def check(self) -> None:
        """Raises MlimError where it ended by itself, but not well."""
        if code := self.process.poll():
            raise MlimError(f"it failed by itself with exit code {code}; {self._told()}")

    def _told(self) -> str:
        lines = self.chain.log.read_text(errors="replace").splitlines()
        return f"{self.chain.log} ends: {lines[-1] if lines else ''}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just ended, or is another user's
        return b""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
