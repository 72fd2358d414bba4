"""What earlier runs on this machine took, and what that says of the next one.

A run's logs (CACHE/logs) hold what each stage had to do, its seconds, peak of memory and bytes. What a stage took,
divided by what the table says of the same work, is how this machine differs from the table's: the table's figure for
the work at hand is multiplied by it. Runs with about the same work count most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.forecast.load import Load
from workbench.forecast.table import UNSURE, seconds

What = Literal["seconds", "memory", "disk"]
_NEAR = 0.05  # distance, in natural logarithms of the work, within which all runs count alike
_TABLE = 2.0  # the table counts as a run of so much more or less work
_NOISE, _FAR = 0.08, 0.15  # what two runs alike differ by; what each e-fold of other work adds
_LATEST, _OLDER = 30, 0.8  # runs that are looked at; what each counts of the one after it: machines get busy and idle


@dataclass(frozen=True)
class Past:
    """A stage of an earlier run."""

    load: Load
    factors: dict[What, float]  # what it took by what the formulas say
    expected: float  # seconds by the table


@dataclass(frozen=True)
class Correction:
    """What a formula's figure is multiplied by."""

    factor: float
    unsure: float  # the truth is expected between factor / unsure and factor * unsure
    runs: int  # that it was learnt from


def past(logs: Path, stage: str, device: str) -> list[Past]:
    """The latest runs of a stage on the same device, the newest last."""
    files = sorted(logs.glob(f"{stage}-{'[0-9a-f]' * 16}.jsonl"), key=lambda f: f.stat().st_mtime)[-_LATEST:]
    found = []
    for line in (said for file in files for said in _lines(file)):
        with suppress(KeyError, TypeError):  # written by another version of mlim
            load = Load.of(line["load"])
            if load.device == device:
                found.append(_past(stage, load, line))
    return found


def _past(stage: str, load: Load, line: Mapping[str, Any]) -> Past:
    expected = seconds(stage, load)
    factors: dict[What, float] = {"seconds": line["took"] / expected}
    factors |= {what: line[what] / line["formula"][what] for what in ("memory", "disk") if line.get(what)}
    return Past(load, factors, expected)


def _lines(file: Path) -> list[dict[str, Any]]:
    """The lines on whole runs of a stage."""
    found = []
    for text in file.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # cut off by a kill
            continue
        if isinstance(line, dict) and "load" in line:
            found.append(line)
    return found


def correction(runs: Sequence[Past], load: Load, expected: float, what: What) -> Correction:
    """Weighted by how near their work is, in logarithms, and how new they are; far from all the table counts, too."""
    known = [run for run in runs if what in run.factors]
    logs = [math.log(run.factors[what]) for run in known] + [0.0]
    away = [_distance(run, load, expected) for run in known]
    ages = range(len(known) - 1, -1, -1)
    weights = [_OLDER**age / (_NEAR + distance) ** 2 for age, distance in zip(ages, away, strict=True)]
    weights.append(1 / (_NEAR + _TABLE) ** 2)
    mean = _mean(logs, weights)
    spread = math.sqrt(_mean([(x - mean) ** 2 for x in logs], weights))
    near = min(away, default=math.inf)
    unsure = min(math.log(UNSURE), spread + _NOISE + _FAR * near) if known else math.log(UNSURE)
    return Correction(math.exp(mean), math.exp(unsure), len(known))


def _distance(run: Past, load: Load, expected: float) -> float:
    """0: the same work in the same way."""
    other = abs(math.log(max(run.load.width, 1) / max(load.width, 1)))
    lanes = abs(math.log(run.load.lanes * run.load.threads / (load.lanes * load.threads)))
    return abs(math.log(run.expected / expected)) + other + lanes


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
