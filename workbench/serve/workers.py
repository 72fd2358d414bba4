"""Several processes that answer at one address: Python computes on one core at a time, however many threads it has.

The kernel deals connections out among those that listen. One that dies is replaced, while the others go on.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from workbench.errors import MlimError

log = logging.getLogger("mlim.serve")
HEARD = 1.0  # seconds until a signal is heard that came just before a wait, or to a thread of polars or torch
Work = Callable[[Callable[[], None]], None]  # answers until SIGTERM; calls what it is given as soon as it listens


@dataclass(frozen=True)
class Worker:
    process: SpawnProcess
    told: Connection

    @classmethod
    def start(cls, work: Work) -> Worker:
        ours, its = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_run, args=(work, its))
        process.start()
        its.close()
        return cls(process, ours)

    def listens(self) -> None:
        """Wait until it does. Raises what it raised before."""
        try:
            failure = self.told.recv()
        except EOFError:
            self.process.join()
            raise MlimError(f"a worker ended before it could answer, exit code {self.process.exitcode}") from None
        if failure:
            raise failure


class Workers:
    """Use in a `with`: it is entered when all of them listen, and left when all have answered and ended."""

    def __init__(self, work: Work, count: int, patience: float, died: Callable[[int], None]) -> None:
        """`patience`: seconds that one has to answer what was asked and end; `died` is told a process number."""
        self._work, self._count, self._patience, self._died = work, count, patience, died
        self._workers: list[Worker] = []

    def __enter__(self) -> Workers:
        try:
            self._workers += [Worker.start(self._work) for _ in range(self._count)]
            for worker in self._workers:
                worker.listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(self._patience)
            worker.process.kill()

    def watch(self) -> None:
        """For ever; raises MlimError where one that died can't be replaced."""
        while True:
            ended = wait([worker.process.sentinel for worker in self._workers], HEARD)
            for worker in [worker for worker in self._workers if worker.process.sentinel in ended]:
                worker.process.join()
                log.error("a worker ended with code %s; another is started", worker.process.exitcode)
                self._died(worker.process.pid or 0)
                self._workers.remove(worker)
                self._workers.append(Worker.start(self._work))
                self._workers[-1].listens()


def _run(work: Work, told: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the first process tells the others
    threading.Thread(target=_end_with, args=(told,), daemon=True).start()
    try:
        work(lambda: told.send(None))
    except MlimError as error:
        told.send(error)


def _end_with(told: Connection) -> None:
    """Nobody is left alone at an address: the pipe ends with the first process, however that ended."""
    try:
        told.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
