"""A lock in an object store: a file that one process put there and writes anew while it lives.

Who finds one that hasn't changed for LEASE seconds takes it over, by a write that the store does if it still hasn't.
No two clocks are compared: the store tells how old it is, or it is watched.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from uuid import uuid4

from workbench.artifacts.bucket import Bucket
from workbench.artifacts.conditional import NO_CONDITIONS, Seen
from workbench.errors import ArtifactError, MlimError, RecipeError

LEASE = 60.0  # seconds without a sign of life after which its holder is taken for dead
RENEWED = 15.0  # seconds from sign to sign
POLL = 1.0  # seconds between looks at another one's
PATIENCE = 5.0  # seconds for a sign of life under way, at the end


class Lease:
    """Held while the context lives. `owner` names who may take it over at once: nobody else of that name lives."""

    def __init__(self, bucket: Bucket, name: str, owner: str, say: Callable[[str], None]) -> None:
        self._bucket, self._name, self._owner, self._say = bucket, f"{name}.lock", owner, say
        self._tag, self._turn = "", threading.Lock()
        self._renewed = 0.0
        self._lost, self._end = False, threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        """Raises ArtifactError where another process has it and lives, RecipeError where there can be no locks."""
        watched: Seen | None = None
        since = time.monotonic()
        while not self._take(None):
            there = self._bucket.look(self._name)
            if there is None:
                continue
            if watched and there.tag != watched.tag:
                raise ArtifactError(f"{_told(there)}; wait until that one ends, then run again")
            quiet = max(there.age, time.monotonic() - since if watched else 0.0)
            if _owner(there) == self._owner or quiet >= LEASE:
                if self._take(there.tag):
                    break
                continue
            if watched is None:
                self._say(f"{_told(there)}; if nothing is heard of it for {LEASE:.0f} seconds, its work is taken over")
            watched = there
            time.sleep(POLL)
        if self._bucket.put(self._name, b"{}"):
            self._bucket.delete(self._name)
            raise RecipeError(f"runtime.cache: {self._bucket.shown}: {NO_CONDITIONS}")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(PATIENCE)
        if self._sure() and not self._thread.is_alive():
            with suppress(MlimError):  # it expires
                self._bucket.delete(self._name)

    def check(self) -> None:
        """Raises ArtifactError where another process took it over: this one wasn't heard of for too long."""
        if not self._sure() and not self._lost:
            self._again()
        if self._lost:
            raise ArtifactError(
                f"{self._bucket.shown}/{self._name}: another process took over, since nothing was heard of this one "
                f"for {LEASE:.0f} seconds; run again: what that one makes is taken"
            )

    def _sure(self) -> bool:
        """Whether nobody can have taken it over, also by a clock that isn't this one."""
        return not self._lost and _now() - self._renewed < LEASE / 2

    def _take(self, tag: str | None) -> bool:
        begun = _now()
        told = {"owner": self._owner, "host": os.uname().nodename, "process": os.getpid(), "sign": uuid4().hex}
        got = self._bucket.put(self._name, json.dumps(told).encode(), tag)
        if got:
            self._tag, self._renewed = got, begun
        return got is not None

    def _again(self) -> None:
        with self._turn:
            self._lost = self._lost or not self._take(self._tag)

    def _renew(self) -> None:
        while not self._end.wait(RENEWED) and not self._lost:
            try:
                self._again()
            except MlimError as error:
                self._say(f"{self._bucket.shown}/{self._name}: can't be renewed for now: {error}")


def _owner(there: Seen) -> object:
    return json.loads(there.data).get("owner")


def _told(there: Seen) -> str:
    told = json.loads(there.data)
    return f"process {told['process']} of {told['host']} is making it"


def _now() -> float:
    """Seconds, those in which the machine slept among them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
