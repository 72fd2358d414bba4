"""What a checkpoint costs a training: its steps with one and without, by turns, in one run.

usage: python benchmarks/checkpoint.py [--size base] [--precision bf16|fp32] [--device cpu|cuda] [--threads N]
                                       [--rounds N] [--seconds S] [--folder DIR] [--every SECONDS]

A round is so many seconds of training steps, as in train_step.py, and as many steps again with a checkpoint written
meanwhile, all of it: the state copied, written, flushed, the earlier one removed. `cost` is the difference; `of a
minute` its share where one is written every so many seconds. `copy` is the time for which the training stands still;
`writer` the processor time of the thread that writes, which a training on all cores lacks; `written` the time until it
is on the disk. The first checkpoint, for which memory is found, is not counted. On other work's cores `cost` is noise:
then copy + writer / threads tells what it would be.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import torch
from train_step import BUCKETS, CASES, listings

from workbench.model.mlim import Mlim
from workbench.recipe.schema import Objectives, Optim
from workbench.tasks.objective import Pretraining
from workbench.train.checkpoint import Position
from workbench.train.checkpoints import Checkpoints
from workbench.train.loop import Plan, updates_of
from workbench.train.state import gathered
from workbench.train.world import ALONE


@dataclass(frozen=True)
class Cost:
    """Seconds of one checkpoint."""

    copy: float
    writer: float
    written: float
    all: float  # longer than the same steps without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="base", choices=CASES)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--batch", type=int, default=0, help="0: as the size has it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training without a checkpoint in a round")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two checkpoints, for the share")
    parser.add_argument("--folder", type=Path, help="on the disk that is measured; default: where temporary files go")
    how = parser.parse_args()
    if how.threads:
        torch.set_num_threads(how.threads)
    with tempfile.TemporaryDirectory(dir=how.folder) as folder, Checkpoints(Path(folder) / "run", {}) as kept:
        measure(how, kept)


def measure(how: argparse.Namespace, kept: Checkpoints) -> None:
    case, device = CASES[how.size], torch.device(how.device)
    batches = listings(case, how.batch or case.batch)[1]
    torch.manual_seed(0)
    task = Pretraining(Mlim(case.shape, 0.1), Objectives())
    updates = updates_of(task, Plan(1, Optim(), 0, precision=how.precision), device)

    def run(count: int) -> float:
        begun = time.perf_counter()
        for number in range(count):
            updates.step([batches[number % BUCKETS]])
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    def save(number: int) -> None:
        kept.save(gathered(task.model, updates.optimizer, ALONE, kept.room()), Position(number, how.rounds), b"")

    run(2)
    save(0)
    kept.room()
    count = max(1, round(how.seconds / (run(2) / 2)))
    found = [cost(run, save, kept, number, count) for number in range(1, how.rounds + 1)]
    size = sum(tensor.nbytes for tensor in kept.room().values())
    threads = torch.get_num_threads()
    print(f"{how.size}, {how.precision}, {how.device}, {threads} threads, {size / 1e9:.2f} GB, {count} steps a round")
    print("| copy | writer | written | cost | cost, of a minute | (copy + writer / threads), of a minute |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in found:
        print(row(one, how.every, threads))
    middle = [median(getattr(one, name) for one in found) for name in ("copy", "writer", "written")]
    print(row(Cost(*middle, mean(one.all for one in found)), how.every, threads) + " medians; mean cost")


def cost(run: Callable[[int], float], save: Callable[[int], None], kept: Checkpoints, number: int, count: int) -> Cost:
    """Of the checkpoint of this number, beside as many steps before it."""
    without = run(count)
    processor = kept._writer.submit(time.thread_time).result()
    begun = time.perf_counter()
    save(number)
    copied = time.perf_counter() - begun
    ended = kept._writer.submit(lambda: (time.perf_counter(), time.thread_time()))
    run(count)
    written, after = ended.result()
    return Cost(copied, after - processor, written - begun, time.perf_counter() - begun - without)


def row(one: Cost, every: float, threads: int) -> str:
    least = (one.copy + one.writer / threads) / every
    times = f"| {one.copy:.2f} s | {one.writer:.2f} s | {one.written:.2f} s | {one.all:.2f} s |"
    return f"{times} {one.all / every:.1%} | {least:.1%} |"


if __name__ == "__main__":
    main()
