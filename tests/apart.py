"""An executor as strict as a cluster: whatever goes to a piece of work and comes back from it is pickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable
from typing import Any

import workbench.artifacts.frames  # noqa: F401  # as on a cluster
from workbench.artifacts.executor import Threads


class Apart:
    def __init__(self, workers: int = 2) -> None:
        self.workers, self.pieces = workers, 0

    def in_order(self, work: Callable[[Any], Any], pieces: Iterable[Any], ahead: int = 0) -> Generator[Any]:
        packed = pickle.dumps(work)

        def apart(piece: bytes) -> bytes:
            return pickle.dumps(pickle.loads(packed)(pickle.loads(piece)))

        def sent() -> Iterable[bytes]:
            for piece in pieces:
                self.pieces += 1
                yield pickle.dumps(piece)

        yield from map(pickle.loads, Threads(self.workers).in_order(apart, sent(), ahead))
