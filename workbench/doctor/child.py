"""A function in a process of its own: what hangs there is ended, what crashes there is told.

A broken driver, a dead file server or a library for another CPU would take the doctor with them. The process begins in
an empty folder, which is removed after it, and what libraries print is no part of its answer.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from workbench.doctor.finding import Finding

STOP = threading.Event()  # set: all that run are ended, and no other is begun
GRACE = 2.0  # seconds for a killed process to go: in a driver's call it may never
FEW = {"OMP_NUM_THREADS": "1"}  # several run side by side


class Died(Exception):
    """No answer came; the message says why."""


def in_child(
    function: Callable[..., Sequence[Finding]],
    arguments: Sequence[Any],
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> list[Finding]:
    """What a function of a module says of JSON arguments, within so many seconds. Raises Died."""
    code = "from workbench.doctor.child import answer; answer()"
    asked = json.dumps([function.__module__, function.__qualname__, list(arguments)])
    path = os.pathsep.join(entry for entry in sys.path if entry)
    env = FEW | dict(os.environ) | {"PYTHONPATH": path} | dict(environment or {})
    with (
        tempfile.TemporaryDirectory(prefix="mlim-doctor-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as said,
    ):
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", code, asked],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=said,
            start_new_session=True,  # so that what it started ends with it
        )
        try:
            if not _ended(child, seconds):
                raise Died(f"no answer within {seconds:g} seconds{_last_words(said)}")
        finally:
            _end(child)
        return _heard(child.returncode, out, said)


def answer() -> None:
    """In the child: call what the command line names, and print what it says."""
    real = os.dup(1)
    os.dup2(2, 1)  # of libraries that print
    module, name, arguments = json.loads(sys.argv[1])
    found: Any
    try:
        found = [asdict(finding) for finding in getattr(importlib.import_module(module), name)(*arguments)]
    except BaseException as error:
        found = {"error": told(error)}
    os.write(real, json.dumps(found).encode())
    os._exit(0)  # what libraries do at the end is not asked


def told(error: BaseException) -> str:
    """An exception in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _heard(code: int, out: IO[bytes], said: IO[bytes]) -> list[Finding]:
    if code < 0:
        raise Died(f"died of {signal.Signals(-code).name}{_last_words(said)}")
    out.seek(0)
    try:
        found = json.loads(out.read())
    except ValueError:
        raise Died(f"ended with exit code {code}{_last_words(said)}") from None
    if isinstance(found, dict):
        raise Died(found["error"])
    return [Finding(**one) for one in found]


def _ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < end:
        if STOP.wait(0.02):
            raise Died("stopped by the user")
    return child.returncode is not None


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return f"; it said: {lines[-1][:200]}" if lines else ""
