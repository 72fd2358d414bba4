"""What the run that made an artifact told of its times; no part of it, since its bytes don't depend on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.artifacts.store import Artifact


def read_log(artifact: Artifact, logs: Path) -> list[dict[str, Any]]:
    """The lines of an artifact's log; empty if that is not known."""
    path = logs / f"{artifact.stage}-{artifact.key[:16]}.jsonl"
    lines = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:  # cut off by a kill
            continue
    return lines


def step_times(log: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines on steps of a training; of steps that were repeated after a kill, the last time."""
    return list({line["step"]: line for line in log if "step" in line}.values())


def stage_seconds(log: Sequence[dict[str, Any]]) -> float | None:
    """Seconds of the run that finished the stage."""
    return next((line["stage_seconds"] for line in reversed(log) if "stage_seconds" in line), None)


def cost(log: Sequence[dict[str, Any]]) -> float | None:
    """Seconds of all steps of a training, else of the stage."""
    return sum(line["seconds"] for line in step_times(log)) or stage_seconds(log)
