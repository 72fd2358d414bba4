"""What the forecast's table (workbench/forecast/table.py) says, beside what stages and training steps take here.

usage: python benchmarks/forecast.py WORK RECIPE [RECIPE …]

The stages of data of each recipe are made from nothing below WORK, then networks of three sizes take some steps on
synthetic listings. Processor seconds, not wall time: other programs may run. `ratio`: taken by told; the table's
figures are right where it is about 1.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # threads that wait for each other spin, and that isn't work

from rich.console import Console

from workbench.forecast.forecast import load_and_room
from workbench.forecast.load import Load
from workbench.forecast.table import seconds
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import load_recipe

GOALS = ("ingest", "images", "duplicates", "split", "tokens", "census")
CASES = {"tiny": (32, 8, 600, 24, 32), "small": (96, 16, 8000, 32, 16), "base": (224, 32, 8000, 64, 8)}
STEPS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("recipes", type=Path, nargs="+")
    how = parser.parse_args()
    for recipe in how.recipes:
        stages(recipe, how.work / recipe.stem)
    for size in CASES:
        steps(size)


def stages(path: Path, cache: Path) -> None:
    """A line for each stage of data."""
    shutil.rmtree(cache, ignore_errors=True)
    recipe = load_recipe(path, [f"runtime.cache={cache}", f"runtime.reports={cache}", "runtime.threads=1"])
    for goal in GOALS:
        begun, steps = spent(), plan_recipe(recipe, [goal])
        made = run_plan(steps, recipe.runtime, Console(file=io.StringIO()))
        taken = spent() - begun
        others = {name: m.artifact for name, m in made.items() if name != goal}
        load, _ = load_and_room(goal, recipe, others)
        told = seconds(goal, load)
        print(
            f"{path.stem:12} {goal:10} {taken:7.2f} s  told {told:7.2f}  ratio {taken / told:5.2f}  {dict(load.units)}"
        )


def spent() -> float:
    """Processor seconds of this process and those that it started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def steps(name: str) -> None:
    """A line for a size: processor seconds of a step, after one that prepares."""
    import torch

    from tests.tiny import batch
    from workbench.model.mlim import SIZES, Mlim, Shape
    from workbench.recipe.schema import Objectives, Optim
    from workbench.tasks.objective import Pretraining
    from workbench.train.flops import flops_of
    from workbench.train.loop import Plan, updates_of

    torch.set_num_threads(1)
    side, patch, vocabulary, longest, size = CASES[name]
    shape = Shape(SIZES[name], vocabulary, 4, longest, side, patch)
    updates = updates_of(Pretraining(Mlim(shape), Objectives()), Plan(100, Optim(), 0), torch.device("cpu"))
    listings = batch([longest - 2] * size, [longest // 4] * size, shape)
    updates.step([listings])
    begun = time.process_time()
    for _ in range(STEPS):
        updates.step([listings])
    taken = (time.process_time() - begun) / STEPS
    gflops = flops_of(shape, ["mlm", "recon"])(listings) / 1e9
    units = {"gflops": gflops, "steps": 1.0, "listings": 0.0}
    told = seconds("pretrain", Load(units, "cpu", 1, 1, SIZES[name].width)) - seconds(
        "pretrain", Load(dict.fromkeys(units, 0.0), "cpu", 1, 1, SIZES[name].width)
    )
    print(
        f"{name:12} a step {taken:11.3f} s  told {told:7.3f}  ratio {taken / told:5.2f}  {gflops / taken:.0f} GFLOP/s"
    )


if __name__ == "__main__":
    main()
