"""Where the pieces of a stage's work are done: in threads of this process, or in processes of a cluster (ray.py).

A piece is a function of its input alone, so the bytes of an artifact don't depend on where it was done.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Protocol, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Executor(Protocol):
    """What `Work.executor` is; a stage asks for results in order and never sees a machine."""

    @property
    def workers(self) -> int:
        """Pieces that are worked on at once."""
        ...

    def in_order(self, work: Callable[[In], Out], pieces: Iterable[In], ahead: int = 0) -> Generator[Out]:
        """`work` of each piece, in their order; at most `ahead` (0: twice the workers) are begun and not yet taken, so
        that a slow reader or a slow disk holds back what is made. An error of a piece is raised where its result is
        taken. On a cluster `work`, pieces and results are pickled, and a piece that is lost with its machine is done
        again."""
        ...


class Threads:
    """Those of this process."""

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))

    def in_order(self, work: Callable[[In], Out], pieces: Iterable[In], ahead: int = 0) -> Generator[Out]:
        ahead = ahead or 2 * self.workers
        pool, waiting = ThreadPoolExecutor(self.workers), deque[Future[Out]]()
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # what waits to be done is left undone where the run ends early, as by Ctrl-C
            pool.shutdown(cancel_futures=True)


class Heard:
    """Another one, of which `heard` is told when a piece is done."""

    def __init__(self, executor: Executor, heard: Callable[[int], None]) -> None:
        self.workers, self._executor, self._heard = executor.workers, executor, heard

    def in_order(self, work: Callable[[In], Out], pieces: Iterable[In], ahead: int = 0) -> Generator[Out]:
        with closing(self._executor.in_order(work, pieces, ahead)) as results:
            for result in results:
                self._heard(1)
                yield result
