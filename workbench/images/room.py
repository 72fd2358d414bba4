"""A budget of memory for pictures that have to be decoded whole: many small ones at once, a huge one alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Room:
    """`size` bytes that threads share; one that needs more waits until it has all of it."""

    def __init__(self, size: int) -> None:
        self.size = self._free = size
        self._changed = Condition()

    @contextmanager
    def taking(self, needed: int) -> Iterator[None]:
        needed = min(needed, self.size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()
