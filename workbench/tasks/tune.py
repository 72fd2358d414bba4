"""The runs of a task: each arm, at each share of the labels, with each seed; side by side on the cores of a CPU.

A run trains in a folder of its own and leaves there its scores of the held-out parts; then its checkpoint is
deleted. After a kill, finished runs stay and unfinished ones go on from their checkpoints.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.batches.loader import Listings, ahead
from workbench.batches.order import Order, Rows
from workbench.batches.weights import Draws
from workbench.draws import LABELS, stream
from workbench.errors import MlimError
from workbench.evaluate.compare import labels_in_words
from workbench.images.stream import note_of_limit
from workbench.model.mlim import Mlim
from workbench.recipe.schema import Model, Runtime
from workbench.recipe.schema import Task as Section
from workbench.tasks.catalog import choose_device, open_catalog
from workbench.tasks.network import load_network, model_section, read_shape, shrink_and_perturb
from workbench.tasks.runs import Run, runs_of, steps_for
from workbench.tasks.tuned import Tuned, save_tuned, width_of
from workbench.train.checkpoint import Position, write
from workbench.train.checkpoints import Checkpoints
from workbench.train.found import Found
from workbench.train.loop import Plan, fit
from workbench.train.processes import ctrl_c_later, die_with_parent
from workbench.train.stopping import Stop, stoppable
from workbench.train.task import Movable, Task

Scores = dict[str, NDArray[np.float64]]  # of the held-out parts
SCORES, CHECKPOINTS = "scores.safetensors", "checkpoints"


class Tuning(Protocol):
    """What a task is tuned on and by; it is sent to other processes."""

    @property
    def section(self) -> Section: ...

    @property
    def groups(self) -> NDArray[np.str_]:
        """(n,) product group of each training label."""

    def heads(self, width: int) -> Mapping[str, nn.Module]:
        """A new head for each task that is learnt, by task; each reads `width` numbers a listing."""

    def objective(self, tuned: Tuned) -> Task[Any]:
        """The losses of these heads."""

    def frequencies(self, places: NDArray[np.int64], seed: int) -> Draws | None:
        """How often the training labels of these places are drawn; None: each once an epoch."""

    def start(self, listings: Listings, chosen: NDArray[np.int64], clock: Rows, seed: int) -> Callable[[], Movable]:
        """Begin the micro-batch of the training labels of these places, which is there when called; `clock` as in
        `Order`."""

    def finish(
        self, tuned: Tuned, listings: Listings, chosen: NDArray[np.int64], device: torch.device, size: int
    ) -> None:
        """What else is learnt, once the network is tuned, from the training labels of these places."""

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """What the network says of the held-out parts, by part and reading (readings.py); `size` listings are read at
        once."""

    def outcome(self, scores: Scores) -> str:
        """How good the scores are, in a few words."""


@dataclass(frozen=True)
class Bench:
    """What every run needs, small enough to be sent to a process."""

    tuning: Tuning
    inputs: Mapping[str, Artifact]
    model: Model
    runtime: Runtime  # its threads are those of one process
    device: torch.device
    folder: Path
    kept: Run  # the run whose network stays


def choose_labels(groups: NDArray[np.str_], share: float, seed: int) -> NDArray[np.int64]:
    """Places of a share of the labels, by product groups drawn at random; a smaller share is part of a larger."""
    names, group_of = np.unique(groups, return_inverse=True)
    rank = stream(seed, LABELS).permutation(len(names))
    return np.flatnonzero(rank[group_of] < max(1, round(share * len(names))))


def tune(work: Work, what: str, tuning: Tuning, runs: Sequence[Run] = ()) -> dict[Run, Scores]:
    """Train all runs of a task in `work.folder`, those of its section unless others are given: the scores of each.

    Leaves the network of the first run as model.safetensors, model.json and head.safetensors. Raises Interrupted,
    all runs saved, when the user stops it, and whatever a run raised.
    """
    runs = runs or runs_of(tuning.section)
    device = choose_device(work)
    cores = work.runtime.threads or len(os.sched_getaffinity(0))
    at_once = cores if device.type == "cpu" else torch.cuda.device_count()
    processes = min(at_once, len(runs))  # of all runs, finished or not: see below
    # The threads of a process change the last digits, so a resumed task must have as many as an uninterrupted one.
    runtime = work.runtime.model_copy(update={"threads": cores // processes})
    model = model_section(work.inputs["pretrain"])
    bench = Bench(tuning, work.inputs, model, runtime, device, work.folder, kept=runs[0])
    if note := note_of_limit(work.inputs["images"]):
        work.console.print(note, soft_wrap=True, markup=False)
    open_runs = [run for run in runs if not (work.folder / run.name / SCORES).exists()]
    train = _one_by_one if processes == 1 else _side_by_side
    with stoppable() as stop, work.progress(what, len(runs), "trainings", len(runs) - len(open_runs)) as progress:
        for run, seconds in train(bench, open_runs, processes, stop):
            outcome = tuning.outcome(read_scores(work.folder / run.name)[0])
            line = f"{run.arm}, {labels_in_words(run.share)}, seed {run.seed}: {outcome} ({seconds:.0f} s)"
            progress.say(line)
            progress.advance()
    if stop():
        raise stop.interrupted(what)
    for run in runs:  # a run was killed between its scores and this
        shutil.rmtree(work.folder / run.name / CHECKPOINTS, ignore_errors=True)
    return {run: read_scores(work.folder / run.name)[0] for run in runs}


def read_scores(folder: Path) -> tuple[Scores, NDArray[np.int64]]:
    """A finished run's scores, and the labels it learned from."""
    tensors = load_file(folder / SCORES)
    labels = tensors.pop("labels")
    return {part: scores.astype(np.float64) for part, scores in tensors.items()}, labels


def train_run(bench: Bench, listings: Listings, run: Run, stop: Callable[[], bool]) -> bool:
    """Train one network and write its scores; False when `stop()` asked for an end before the last step."""
    if stop():
        return False
    tuning, folder = bench.tuning, bench.folder / run.name
    arm = tuning.section.scratch if run.arm == "scratch" else tuning.section.pretrained
    assert arm is not None
    folder.mkdir(exist_ok=True)
    torch.manual_seed(run.seed)
    start = bench.inputs["pretrain"].folder
    if run.arm == "scratch":
        network = Mlim(read_shape(start)[0])
    else:
        network = load_network(start)
        shrink_and_perturb(network, tuning.section.start)
    network.set_dropout(tuning.section.dropout)
    network.encoder.recompute = bench.runtime.recompute
    tuned = Tuned(network, tuning.heads(width_of(network)))
    objective = tuning.objective(tuned)
    labels = choose_labels(tuning.groups, run.share, run.seed)
    steps = steps_for(arm, len(tuning.groups), run.share)
    batch_size = arm.optim.batch_size
    often = tuning.frequencies(labels, run.seed)
    order = Order(len(labels), batch_size, epochs=steps, seed=run.seed, frequencies=often)

    def micro_batches(step: int, micro: int) -> Callable[[], list[Movable]]:
        chosen, clock = labels[order.at(step)[1]], order.clock(step)
        parts = [slice(start, start + micro) for start in range(0, len(chosen), micro)]
        begun = [tuning.start(listings, chosen[part], clock[part], run.seed) for part in parts]
        return lambda: [finish() for finish in begun]

    plan = Plan(steps, arm.optim, run.seed, arm.layer_decay, bench.model.precision)
    depth = listings.steps_ahead(batch_size)

    def batches(first: int, micro: int) -> Iterator[list[Movable]]:
        return ahead(lambda step: micro_batches(step, micro or batch_size), range(first, steps), depth)

    def skipped(found: Found, position: Position) -> None:
        if found.bad:
            _say(f"{run.name}: step {found.step} was left out, {', '.join(found.not_finite)} not finite")

    how: dict[str, Any] = {"skipped": skipped, "say": _say, "stop": stop}
    with checkpoints_of(folder, bench.runtime) as checkpoints:
        if fit(objective, batches, plan, folder, checkpoints, bench.device, **how).stopped:
            return False
    tuned.eval()
    size = arm.optim.micro_batch or batch_size
    with torch.no_grad():
        tuning.finish(tuned, listings, labels, bench.device, size)
        scores = tuning.scores(tuned, listings, bench.device, size)
    if run == bench.kept:
        save_tuned(bench.folder, tuned)
    write(folder / SCORES, scores | {"labels": torch.from_numpy(labels)})
    checkpoints.remove()
    return True


def checkpoints_of(folder: Path, runtime: Runtime) -> Checkpoints:
    """Of a run in this folder, which belongs to it alone: the last one is kept, until the run is finished."""
    when = runtime.checkpoints.model_copy(update={"last": 1, "hours": None, "remote": None})
    return Checkpoints(folder / CHECKPOINTS, {}, when, say=_say)


def _say(line: str) -> None:
    """From any process."""
    print(line, file=sys.stderr, flush=True)


def _one_by_one(bench: Bench, runs: Sequence[Run], processes: int, stop: Stop) -> Iterator[tuple[Run, float]]:
    torch.set_num_threads(bench.runtime.threads)
    listings = open_catalog(bench.inputs, bench.model, bench.runtime, bench.device).listings
    for run in runs:
        begun = time.monotonic()
        if train_run(bench, listings, run, stop):
            yield run, time.monotonic() - begun


def _side_by_side(bench: Bench, runs: Sequence[Run], processes: int, stop: Stop) -> Iterator[tuple[Run, float]]:
    """In processes of their own: at these sizes two with a thread each do more than one with two; or one a GPU."""
    if not runs:
        return
    context = multiprocessing.get_context("spawn")
    ending = context.Event()
    # Not among the arguments: spawning writes them into a pipe, and would wait for ever for a process that is dead.
    sent = tempfile.NamedTemporaryFile(dir=bench.folder, suffix=".tmp")  # noqa: SIM115 - closed below
    sent.write(pickle.dumps(bench))
    sent.flush()
    pool = ProcessPoolExecutor(processes, context, _enter, (sent.name, ending, context.Value("i", 0)))
    try:
        with ctrl_c_later():
            waiting = {pool.submit(_work, run): run for run in runs}
        while waiting:
            done, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            if stop():
                ending.set()
            for future in done:
                run, seconds = waiting.pop(future), future.result()
                if seconds is not None:
                    yield run, seconds
    except BrokenProcessPool:
        if not stop():
            raise MlimError("a process was killed (out of memory?); run the same command again: it goes on") from None
    finally:
        ending.set()
        pool.shutdown(cancel_futures=True)
        sent.close()


_own: tuple[Bench, Listings, Event]  # of a process that trains


def _enter(sent: str, ending: Event, begun: Any) -> None:
    """Begin a process: it ends its run when asked by its parent alone, and dies with it. `begun` counts them."""
    global _own
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    bench: Bench = pickle.loads(Path(sent).read_bytes())
    with begun.get_lock():
        nth, begun.value = begun.value, begun.value + 1
    if bench.device.type == "cuda":
        bench = replace(bench, device=torch.device("cuda", nth))
        torch.cuda.set_device(nth)
    torch.set_num_threads(bench.runtime.threads)
    _own = bench, open_catalog(bench.inputs, bench.model, bench.runtime, bench.device).listings, ending


def _work(run: Run) -> float | None:
    """Seconds a run took, None when it was stopped."""
    bench, listings, ending = _own
    begun = time.monotonic()
    return time.monotonic() - begun if train_run(bench, listings, run, ending.is_set) else None
