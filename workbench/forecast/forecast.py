"""What a run will take: seconds, memory and disk of each stage that is to run, with honest ranges, and the cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.forecast.counts import Counts, Made, counts
from workbench.forecast.history import Correction, correction, past
from workbench.forecast.load import Load, Loads
from workbench.forecast.machine import Machine, this_machine
from workbench.forecast.memory import Room, room
from workbench.forecast.table import seconds
from workbench.recipe.schema import Recipe


@dataclass(frozen=True)
class Estimate:
    """Of one stage."""

    stage: str
    load: Load
    seconds: float
    unsure: float  # the truth is expected between seconds / unsure and seconds * unsure
    runs: int  # earlier runs that it goes by; 0: the table
    room: Room
    done: float = 0.0  # share of it that an unfinished run did

    @property
    def low(self) -> float:
        return self.seconds / self.unsure

    @property
    def high(self) -> float:
        return self.seconds * self.unsure


@dataclass(frozen=True)
class Forecast:
    """Of a run."""

    recipe: Recipe
    machine: Machine
    counts: Counts
    estimates: tuple[Estimate, ...]  # of the stages that are to run, in order
    logs: Path
    took: dict[str, float] = field(default_factory=dict)  # seconds of those that were made since

    @property
    def seconds(self) -> float:
        return sum(e.seconds for e in self.estimates)

    @property
    def range(self) -> tuple[float, float]:
        """All stages may err in one direction: they share a machine and a table."""
        return sum(e.low for e in self.estimates), sum(e.high for e in self.estimates)


def forecast(recipe: Recipe, made: Made, logs: Path, trained: Mapping[int, int] = {}) -> Forecast:
    """For the stages of `made` that have no artifact; reads the logs, and no more of the feeds than their heads.
    `trained`: steps of a pre-training -> those that a checkpoint of it holds.
    """
    machine = this_machine(recipe.runtime)
    known = counts(recipe, made)
    every = Loads(recipe, known, machine)
    found = tuple(_estimate(stage, every, logs, trained) for stage, artifact in made.items() if not artifact)
    return Forecast(recipe, machine, known, found, logs)


def load_and_room(stage: str, recipe: Recipe, made: Made) -> tuple[Load, Room]:
    """What a stage had to do, once all before it is made; and what it takes by formula."""
    every = Loads(recipe, counts(recipe, made), this_machine(recipe.runtime))
    load = every.of(stage)
    return load, room(stage, load, every)


def _estimate(stage: str, every: Loads, logs: Path, trained: Mapping[int, int]) -> Estimate:
    whole = every.of(stage)
    steps = whole.units.get("steps", 0)
    done = trained.get(round(steps), 0) / steps if stage == "pretrain" and steps else 0.0
    load = replace(whole, units={unit: (1 - done) * count for unit, count in whole.units.items()})
    by_table, by_formula = seconds(stage, load), room(stage, load, every)
    runs = past(logs, stage, load.device)

    def corrected(what: str) -> Correction:
        return correction(runs, load, by_table, what)  # type: ignore[arg-type]

    time, memory, disk = map(corrected, ("seconds", "memory", "disk"))
    told = Room(by_formula.memory * memory.factor, by_formula.gpu, by_formula.disk * disk.factor, by_formula.passing)
    return Estimate(stage, load, by_table * time.factor, time.unsure, time.runs, told, done)


def warnings(told: Forecast) -> list[str]:
    """What will not fit."""
    found = []
    machine = told.machine
    smaller = "a smaller optim.micro_batch, or runtime.recompute: true, takes less"
    for e in told.estimates:
        if machine.memory and e.room.memory > machine.memory:
            found.append(_exceeds(e.stage, "memory", e.room.memory, machine.memory, smaller))
        if machine.gpu_memory and e.room.gpu > machine.gpu_memory:
            found.append(_exceeds(e.stage, f"the memory of {machine.gpu}", e.room.gpu, machine.gpu_memory, smaller))
    wanted = disk_needed(told.estimates)
    if wanted > machine.disk:
        found.append(_exceeds("the run", "disk", wanted, machine.disk, "free some, or set runtime.cache to another"))
    return found


def disk_needed(estimates: tuple[Estimate, ...]) -> float:
    """The most bytes on disk at any time: what stays of each stage, and what one of them needs on top meanwhile."""
    kept, most = 0.0, 0.0
    for e in estimates:
        kept += e.room.disk
        most = max(most, kept + e.room.passing)
    return most


def _exceeds(what: str, of: str, wanted: float, there: float, todo: str) -> str:
    from workbench.forecast.words import size

    return f"warning: {what} takes about {size(wanted)} of {of}, and there are {size(there)}: {todo}"


def shown(told: Forecast) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows of a table, header first, and lines below it."""
    from workbench.forecast.words import money, size, span

    rows: list[tuple[str, ...]] = [("stage", "takes", "memory", "disk", "by")]
    for e in told.estimates:
        gpu = f" + {size(e.room.gpu)} of the GPU" if e.room.gpu else ""
        disk = size(e.room.disk) + (f" (+ {size(e.room.passing)} meanwhile)" if e.room.passing else "")
        by = f"{e.runs} earlier run{'s' * (e.runs > 1)} here" if e.runs else "table"
        by += f"; {e.done:.0%} is done" if e.done else ""
        rows.append((e.stage, span(e.low, e.high), size(e.room.memory) + gpu, disk, by))
    low, high = told.range
    most = max(e.room.memory for e in told.estimates)
    total = f"forecast: {span(low, high)}, {size(most)} of memory, {size(disk_needed(told.estimates))} of disk"
    if price := told.recipe.runtime.price:
        total += f"; cost {money(low / 3600 * price, high / 3600 * price)}"
    guess = [f"about {told.counts.rows:,.0f} rows, guessed from the feeds' sizes"] if told.counts.guessed else []
    return rows, [*guess, total, *warnings(told)]
