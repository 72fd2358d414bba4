"""What a run took against its forecast, kept beside the logs; from which the next forecast learns."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.artifacts.store import Artifact
from workbench.forecast.forecast import Forecast, by_stage, load_and_room
from workbench.forecast.words import exact
from workbench.recipe.schema import Recipe


class Watch:
    """One stage while it runs: its seconds, and its peak of memory where the system tells (Linux)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._began = time.monotonic()
        self._reset = _reset_peak()

    def learn(self, made: Mapping[str, Artifact], stage: str, log: Path) -> None:
        """Add to the stage's log what it had to do and what it took; `made` holds it and all before it."""
        taken = time.monotonic() - self._began
        load, formula = load_and_room(stage, self._recipe, {k: a for k, a in made.items() if k != stage})
        line = {
            "load": load.as_json(),
            "took": taken,
            "memory": self._peak(load.lanes) if load.device == "cpu" else 0,
            "disk": sum(file["bytes"] for file in made[stage].files.values()),
            "formula": {"memory": formula.memory, "disk": formula.disk},
        }
        with log.open("a") as lines:
            lines.write(json.dumps(line) + "\n")

    def _peak(self, lanes: int) -> int:
        """Of this process and, where several trained side by side, of them."""
        if not self._reset:
            return 0
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return _peak() + (lanes * children if lanes > 1 else 0)


def keep(told: Forecast, name: str) -> None:
    """Write the forecast beside the logs, before the run; nothing where nothing is to run."""
    if not told.estimates:
        return
    low, high = told.range
    stages = {e.stage: {"seconds": e.seconds, "low": e.low, "high": e.high, "runs": e.runs} for e in told.estimates}
    told.logs.mkdir(parents=True, exist_ok=True)
    said = {"forecast": told.seconds, "low": low, "high": high, "stages": stages}
    (told.logs / f"forecast-{name}.json").write_text(json.dumps(said, indent=1))


def judge(told: Forecast, took: Mapping[str, float]) -> str:
    """A line on the forecast of the stages that ran whole, by name -> seconds; "" if none did."""
    estimates = by_stage(told)
    whole = {stage: seconds for stage, seconds in took.items() if stage in estimates}
    if not whole:
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
    percent = round(100 * (said / truth - 1))
    return f"{abs(percent)}% too {'long' if percent > 0 else 'short'}" if percent else "right"


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak is counted from now on
    except OSError:
        return False
    return True


def _peak() -> int:
    lines: Sequence[str] = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
