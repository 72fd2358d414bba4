"""Requests wait in line; all that wait are prepared together and read by the network together.

Nobody waits for company: what comes while one batch is prepared or read is the next one. So a lone request is answered
at once, and the more there are, the larger the batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Queue
from threading import Condition, Thread
from typing import Any, Generic, Protocol, TypeVar

from workbench.serve.limits import Limits, busy, failed
from workbench.serve.metrics import Metrics

log = logging.getLogger("mlim.serve")


@dataclass(eq=False)
class Job:
    """What one request asks; made in the event loop in which it waits."""

    kind: str
    items: Sequence[Any]
    wants: Any = None  # of its kind: the tasks, the number of results
    outcome: Any = None  # the answer, or a Refused
    future: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def tell(self) -> None:
        """In the event loop; nothing where the request has given up."""
        if self.future.done():
            return
        if isinstance(self.outcome, Exception):
            self.future.set_exception(self.outcome)
        else:
            self.future.set_result(self.outcome)


class Ready(Protocol):
    """What was prepared, of the jobs that have no outcome yet."""

    @property
    def jobs(self) -> Sequence[Job]: ...


R = TypeVar("R", bound=Ready)


class Work(Protocol[R]):
    """Two steps, each of many jobs at once, that leave their outcomes in the jobs."""

    def prepare(self, jobs: Sequence[Job]) -> R | None: ...

    def answer(self, ready: R) -> None: ...


class Line(Generic[R]):
    """One thread prepares a batch while another answers the one before."""

    def __init__(self, work: Work[R], limits: Limits, metrics: Metrics) -> None:
        self._work, self._limits, self._metrics = work, limits, metrics
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._ready: Queue[R | None] = Queue(1)
        self._open = True
        self.waiting = 0  # listings
        self._threads = [Thread(target=run, name=run.__name__.strip("_")) for run in (self._prepare, self._answer)]

    def open(self) -> None:
        for thread in self._threads:
            thread.start()

    def ask(self, job: Job) -> asyncio.Future[Any]:
        """Stand in line. Raises Refused where it is too long."""
        with self._changed:
            if not self._open:
                raise busy("the server is stopping")
            if self.waiting and self.waiting + len(job.items) > self._limits.waiting:
                raise busy("too many requests at once")
            self._jobs.append(job)
            self._wait(len(job.items))
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Answer what waits, and end the threads."""
        with self._changed:
            self._open = False
            self._changed.notify()
        for thread in self._threads:
            thread.join()

    def _next(self) -> list[Job]:
        """The next batch, which is not empty until the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or not self._open)
            taken: list[Job] = []
            listings = 0
            while self._jobs and (not taken or listings + len(self._jobs[0].items) <= self._limits.batch):
                taken.append(self._jobs.popleft())
                listings += len(taken[-1].items)
            self._wait(-listings)
            return taken

    def _wait(self, more: int) -> None:
        self.waiting += more
        self._metrics.waiting.inc(more)

    def _prepare(self) -> None:
        while taken := self._next():
            jobs = [job for job in taken if not job.future.done()]  # nothing is done for who has given up
            prepared = self._prepared(jobs) if jobs else []
            _tell([job for job in jobs if job.outcome is not None])
            for ready in prepared:
                self._ready.put(ready)
        self._ready.put(None)

    def _prepared(self, jobs: Sequence[Job]) -> list[R]:
        """All together; each by itself where one of them makes that fail."""
        try:
            ready = self._work.prepare(jobs)
        except Exception:
            if len(jobs) > 1:
                return [ready for job in jobs for ready in self._prepared([job])]
            log.exception("a request could not be prepared")
            jobs[0].outcome = failed()
            return []
        return [] if ready is None else [ready]

    def _answer(self) -> None:
        while ready := self._ready.get():
            self._metrics.batched(sum(len(job.items) for job in ready.jobs))
            try:
                self._work.answer(ready)
            except Exception:
                log.exception("a batch of %d requests could not be answered", len(ready.jobs))
                for job in ready.jobs:
                    job.outcome = failed()
            _tell(ready.jobs)


def _tell(jobs: Sequence[Job]) -> None:
    """All of a batch by one call into the event loop."""
    if jobs and not (loop := jobs[0].future.get_loop()).is_closed():
        loop.call_soon_threadsafe(_tell_here, jobs)


def _tell_here(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.tell()
