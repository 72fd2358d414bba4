"""Ctrl-C and SIGTERM as a wish, so that a training ends after its step, with its state saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from workbench.errors import Interrupted


class Stop:
    """Called, it tells whether the user asked for an end."""

    def __init__(self) -> None:
        self._signal: int | None = None

    def __call__(self) -> bool:
        return self._signal is not None

    def interrupted(self, what: str) -> Interrupted:
        """The error to raise once the state is saved; after Ctrl-C it exits as the shell expects, with 130."""
        error = Interrupted(f"{what}: stopped and saved; run the same command again: it goes on from there")
        if self._signal == signal.SIGINT:
            error.exit_code = 128 + signal.SIGINT
        return error

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Within it, the first Ctrl-C or SIGTERM makes the yielded `Stop` true; a second Ctrl-C interrupts at once."""
    stop = Stop()
    before = {number: signal.signal(number, stop._ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
