"""Make what the table needs: the data once, then the trainings, side by side on the cores of a CPU."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NoReturn

from rich.console import Console

from workbench.ablate.jobs import Job
from workbench.errors import Interrupted, MlimError, Terminated
from workbench.plan import DATA_GOALS, plan_recipe, run_plan
from workbench.progress import Progress
from workbench.recipe.schema import Runtime
from workbench.train.processes import ctrl_c_later, die_with_parent
from workbench.train.stopping import Stop, stoppable


def run_jobs(jobs: Sequence[Job], runtime: Runtime, console: Console, resume: bool = True) -> None:
    """Make what is not cached. Raises Interrupted, all trainings saved, when the user stops it, and whatever a
    training raised; a run of the same goes on."""
    waiting = [job for job in jobs if not job.cached]
    for recipe in {job.variant: job.recipe for job in waiting}.values():
        run_plan(plan_recipe(recipe, DATA_GOALS), recipe.runtime, console, resume)
    cores = runtime.threads or len(os.sched_getaffinity(0))
    processes = min(cores, len(jobs)) if _on_cpu(runtime) else 1  # of all jobs: as many when a killed run goes on
    if processes == 1:
        for job in waiting:
            console.print(job.name, style="bold", markup=False)
            _make(job, job.recipe.runtime, console, resume)
        return
    progress = Progress(console, "ablate", len(jobs), "trainings", len(jobs) - len(waiting))
    with stoppable() as stop, progress:
        for job, seconds in _side_by_side(waiting, processes, cores // processes, resume, stop):
            progress.say(f"{job.name} ({seconds:.0f} s)")
            progress.advance()
    if stop():
        raise stop.interrupted("ablate")


def _make(job: Job, runtime: Runtime, console: Console, resume: bool) -> None:
    run_plan(plan_recipe(job.recipe, [job.goal]), runtime, console, resume)


def _on_cpu(runtime: Runtime) -> bool:
    import torch

    return runtime.device == "cpu" or (runtime.device == "auto" and not torch.cuda.is_available())


def _side_by_side(
    waiting: Sequence[Job], processes: int, threads: int, resume: bool, stop: Stop
) -> Iterator[tuple[Job, float]]:
    """In processes of their own, each job as soon as those it needs are made: at these sizes two processes with a
    thread each do more than one with two."""
    workers = dict(_start(threads, resume) for _ in range(min(processes, len(waiting))))
    open_jobs, busy, told = list(waiting), dict[Connection, tuple[Job, float]](), False
    try:
        while busy or (open_jobs and not stop()):
            unmade = {job.key for job in open_jobs} | {job.key for job, _ in busy.values()}
            ready = [job for job in open_jobs if not job.needs & unmade] if not stop() else []
            for worker, job in zip((w for w in workers if w not in busy), ready, strict=False):
                open_jobs.remove(job)
                worker.send(job)
                busy[worker] = job, time.monotonic()
            if stop() and not told:
                told = _end(workers.values())
            for done in multiprocessing.connection.wait(list(busy), timeout=0.2):
                assert isinstance(done, Connection)
                job, begun = busy.pop(done)
                if (error := _answer(done)) and not stop():
                    raise error
                if not error:
                    yield job, time.monotonic() - begun
    finally:
        _end(workers.values())
        for worker, process in workers.items():
            worker.close()  # to one that waits for a job it says the same
            process.join()


def _start(threads: int, resume: bool) -> tuple[Connection, SpawnProcess]:
    """A process that does the jobs it is sent."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_work, args=(its, threads, resume))
    with ctrl_c_later():
        process.start()
    its.close()
    return ours, process


def _end(processes: Iterable[SpawnProcess]) -> bool:
    """Ask each to save its state and end."""
    for process in processes:
        process.terminate()
    return True


def _answer(worker: Connection) -> MlimError | None:
    try:
        error: MlimError | None = worker.recv()
        return error
    except (EOFError, ConnectionResetError):
        return MlimError("a process was killed (out of memory?); run the same command again: it goes on")


def _work(parent: Connection, threads: int, resume: bool) -> None:
    """What a process does, until it is told to end (SIGTERM, or no more jobs), or its parent dies."""
    die_with_parent()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        while True:
            job: Job = parent.recv()
            try:
                _make(job, job.recipe.runtime.model_copy(update={"threads": threads}), Console(quiet=True), resume)
            except Interrupted:
                raise
            except MlimError as error:
                error.args = (f"{job.name}: {error}",)
                parent.send(error)
            except Exception as error:
                parent.send(MlimError(f"{job.name}: {type(error).__name__}: {error}"))
            else:
                parent.send(None)
    except (Interrupted, Terminated, EOFError, BrokenPipeError):  # what was to be saved is saved
        return


def _terminated(*_: object) -> NoReturn:
    raise Terminated
