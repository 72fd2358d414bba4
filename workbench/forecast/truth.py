"""What a run took against its forecast, kept beside the logs; from which the next forecast learns."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from workbench import linux
from workbench.artifacts.store import Artifact
from workbench.forecast.forecast import Forecast, load_and_room
from workbench.forecast.load import Load
from workbench.forecast.memory import Room
from workbench.forecast.words import exact


class Watch:
    """One stage while it runs: its seconds, and its peak of memory where the system tells (Linux)."""

    def __init__(self, told: Forecast, stage: str, log: Path) -> None:
        self._told, self._stage, self._log = told, stage, log
        self._before = log.stat().st_size if log.exists() else 0
        self._began, self._resident = time.monotonic(), _reset_peak()

    def learn(self, made: Mapping[str, Artifact]) -> None:
        """Note what the stage took, and add it to its log beside what it had to do; nothing of one that went on from a
        checkpoint. `made` holds it and all before it."""
        taken, recipe, stage = time.monotonic() - self._began, self._told.recipe, self._stage
        if not self._whole():
            return
        load, formula = load_and_room(stage, recipe, {name: a for name, a in made.items() if name != stage})
        line = {
            "load": load.as_json(),
            "took": taken,
            "memory": self._peak(load, formula),
            "disk": sum(file["bytes"] for file in made[stage].files.values()),
            "formula": {"memory": formula.memory, "disk": formula.disk},
        }
        with self._log.open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        self._told.took[stage] = taken

    def _whole(self) -> bool:
        """Whether the steps that this run logged begin with the first ones."""
        with self._log.open("rb") as file:
            file.seek(self._before)
            lines = [json.loads(line) for line in file]
        first = next((line["step"] for line in lines if "step" in line), 0)
        return bool(first <= self._told.recipe.pretrain.log_every)

    def _peak(self, load: Load, formula: Room) -> float:
        """Bytes; 0 where they tell little: those of other processes aren't known (what Linux says of a child includes
        its parent's), nor is what earlier stages left in this one of its own."""
        known = load.lanes == 1 and load.device == "cpu" and 0 < self._resident < formula.memory
        return linux.peak() if known else 0


def keep(told: Forecast, name: str) -> None:
    """Write the forecast beside the logs, before the run; nothing where nothing is to run."""
    if not told.estimates:
        return
    low, high = told.range
    stages = {e.stage: {"seconds": e.seconds, "low": e.low, "high": e.high, "runs": e.runs} for e in told.estimates}
    told.logs.mkdir(parents=True, exist_ok=True)
    said = {"forecast": told.seconds, "low": low, "high": high, "stages": stages}
    (told.logs / f"forecast-{name}.json").write_text(json.dumps(said, indent=1))


def judge(told: Forecast) -> str:
    """A line on the forecast of the stages that this run made whole; "" if there are none, and where a cluster shared
    the work: forecasts are of one machine."""
    estimates, whole = {e.stage: e for e in told.estimates}, told.took
    if not whole or told.recipe.runtime.executor == "ray":
        return ""
    errors = {stage: estimates[stage].seconds - seconds for stage, seconds in whole.items()}
    said, truth = sum(estimates[stage].seconds for stage in whole), sum(whole.values())
    dearest = max(errors, key=lambda stage: abs(errors[stage]))
    sign = "+" if errors[dearest] > 0 else "-"
    return (
        f"took {exact(truth)}; forecast {exact(said)} ({_wrong(said, truth)}); "
        f"dearest error: {dearest} {sign}{exact(abs(errors[dearest]))}"
    )


def _wrong(said: float, truth: float) -> str:
    ratio, which = (said / truth, "long") if said > truth else (truth / said, "short")
    if ratio > 3:
        return f"{ratio:,.0f} times too {which}"
    percent = round(100 * abs(said / truth - 1))
    return f"{percent}% too {which}" if percent else "right"


def _reset_peak() -> int:
    """Bytes that this process holds, from which on its peak is counted now; 0 where the system doesn't do that."""
    try:
        linux.count_anew()
    except OSError:
        return 0
    return linux.held()
