"""The turns of several processes at one recipe: the data by one, the pre-training by all, the rest by the chief alone.

    chief                     others of its machine     first of another machine     others of that
    ingest … tokens           wait                      wait                         wait
                                                        what its cache lacks         wait
    -------------------------- all of them: pre-training, in folders of their own --------------------------
    fine-tuning … report      end                       end                          end

Waiting is for a word in the store, not in a collective: it may take hours, and Ctrl-C is heard meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from workbench.artifacts.stage import Work
from workbench.errors import DataError
from workbench.plan import Made, Step, plan_recipe, run_plan

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.recipe.schema import Recipe, Runtime
    from workbench.train.world import World

_GOAL = ["pretrain"]
_DATA, _MACHINE = "turn/data", "turn/machine"


def pretrain_by(
    processes: int, arguments: Sequence[str], recipe: Recipe, console: Console, resume: bool
) -> dict[str, Made]:
    """Make the data here, and pre-train in so many processes that run `mlim ARGUMENTS`; what was made.

    Raises RecipeError where there aren't as many GPUs, and what `launch` raises.
    """
    from workbench.tasks.catalog import check_gpus
    from workbench.train.launch import launch

    check_gpus(processes, recipe.runtime.device)
    steps = plan_recipe(recipe, _GOAL)
    if steps[-1].found:
        return {}
    made = run_plan(steps[:-1], recipe.runtime, console, resume)
    begun = time.monotonic()
    launch(arguments, processes)
    last = plan_recipe(recipe, _GOAL)[-1]
    assert last.artifact
    return made | {last.stage.name: Made(last.artifact, time.monotonic() - begun)}


def pretrain_among(recipe: Recipe, goals: Sequence[str], console: Console, resume: bool) -> dict[str, Made] | None:
    """Take part in what the goals need up to the pre-training, as one of the processes that torchrun started: what was
    made, on the chief; None on the others, whose work ends with it.

    Raises Told on all but the first that fails, and DataError where its machine has other data than the chief's.
    """
    from workbench.train.world import joined, met, telling

    wait = recipe.runtime.wait
    world = met(wait)
    with telling(world, wait):
        steps, made = _data(recipe, goals, world, console, resume)
        if steps:
            world.wait_for_all("turn/all")
            with joined(world, wait) as world:
                made |= _pretrain(steps, recipe.runtime, world, console, resume)
    return made if world.chief else None


def _data(
    recipe: Recipe, goals: Sequence[str], world: World, console: Console, resume: bool
) -> tuple[list[Step], dict[str, Made]]:
    """This process's turn at the data: the steps of the pre-training, none where it isn't needed, and what was made."""
    if world.chief:
        asked = any(step.stage.together and not step.found for step in plan_recipe(recipe, goals))
        made = run_plan(plan_recipe(recipe, _GOAL)[:-1], recipe.runtime, console, resume) if asked else {}
        steps = plan_recipe(recipe, _GOAL) if asked else []
        world.say(_DATA, steps[-1].key if asked else "")
        world.say(f"{_MACHINE}/0")
        return steps, made
    if not (key := world.wait_for(_DATA)):
        return [], {}
    machine = f"{_MACHINE}/{world.rank - world.local_rank}"
    if world.local_rank:
        world.wait_for(machine)
    steps = plan_recipe(recipe, _GOAL)
    if steps[-1].key != key:
        raise DataError(
            f"rank {world.rank} on {os.uname().nodename}: finds other data or another recipe than the chief does; give "
            "all machines the same files, or let them take the data from runtime.remote"
        )
    run_plan(steps[:-1], recipe.runtime, _quiet(), resume)
    if not world.local_rank:
        world.say(machine)
    return plan_recipe(recipe, _GOAL), {}


def _pretrain(steps: Sequence[Step], runtime: Runtime, world: World, console: Console, resume: bool) -> dict[str, Made]:
    cores = runtime.threads or len(os.sched_getaffinity(0))
    runtime = runtime.model_copy(update={"threads": max(1, cores // world.local_size)})
    if world.chief:
        made = run_plan(steps, runtime, console, resume, world=world)
        return {steps[-1].stage.name: made[steps[-1].stage.name]}
    step, inputs = steps[-1], {other.stage.name: other.artifact for other in steps if other.artifact}
    if not world.local_rank:
        for name in step.stage.needs:
            inputs[name].verify()
    runtime = runtime.model_copy(update={"trackers": (), "profile": None})
    with TemporaryDirectory(prefix="mlim-rank-") as folder:
        log = Path(folder) / "log.jsonl"
        step.stage.run(Work(Path(folder), inputs, runtime, _quiet(), log, ingredients=step.ingredients, world=world))
    return {}


def _quiet() -> Console:
    from rich.console import Console

    return Console(quiet=True)
