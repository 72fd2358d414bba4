"""Seconds of a stage by what it has to do: what was measured (benchmarks/forecast.py), for a machine that has no logs.

A forecast from this table alone may be wrong by a factor of two either way, since processors differ and so do
pictures; what a machine's own runs took corrects it (history.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from workbench.forecast.load import TASKS, Load
from workbench.train.cards import published

UNSURE = 2.0  # the factor


@dataclass(frozen=True)
class Cost:
    """Of a stage of data: seconds on one core."""

    start: float
    each: dict[str, float] = field(default_factory=dict)  # unit -> core-seconds of one
    spread: bool = False  # over all cores


# On 2 cores of an AMD EPYC (Zen 5), 2026-11-26.
STAGES = {
    "ingest": Cost(0.15, {"rows": 3e-5}, spread=True),
    "fetch": Cost(1.0, {"pictures": 1 / 40}),  # one host at most at `fetch.pace.per_second`, several are faster
    "images": Cost(0.2, {"pictures": 8e-4, "megapixels": 0.06}, spread=True),
    "duplicates": Cost(0.2, {"rows": 2e-4, "pictures": 3e-4}),
    "split": Cost(0.02, {"rows": 2e-5}),
    "tokens": Cost(0.03, {"rows": 4e-5}),
    "census": Cost(0.5, {"rows": 7e-5}),
    "report": Cost(0.4, {"rows": 1e-5}),
}
# Torch is loaded first.
STARTS = {
    "pretrain": 2.5,
    **dict.fromkeys(TASKS, 6.0),
    "probes": 2.0,
    "audit": 2.0,
}  # torch comes first
_RUN = 1.0  # seconds of a fine-tuning that are no training: a network is read, scores are written
_CORE, _HALF = 180.0, 350.0  # GFLOP/s of a core for wide networks; width at which it is half of that
_STEP, _STEP_GPU = 4e-3, 15e-3  # seconds of a step beside its products
_LISTING = 2e-4  # core-seconds of a listing: its picture is decoded, its text is masked
_START_GPU = 8.0  # seconds until the first step there, DALI's start among them
_COMPILE, _COMPILE_GPU = 7.0, 30.0  # seconds
_GPU_SHARE, _GPU_UNKNOWN = 0.4, 60e3  # share of its peak; GFLOP/s of an unknown one


def seconds(stage: str, load: Load) -> float:
    """By the table."""
    if stage in STAGES:
        cost = STAGES[stage]
        work = sum(cost.each.get(unit, 0.0) * count for unit, count in load.units.items())
        return cost.start + work / (load.threads if cost.spread else 1)
    units, on_cpu = load.units, load.device == "cpu"
    step, listing = _STEP if on_cpu else _STEP_GPU, _LISTING / load.threads
    compiling = (_COMPILE if on_cpu else _COMPILE_GPU) if load.compiles and stage == "pretrain" else 0.0
    return (
        STARTS[stage]
        + (0.0 if on_cpu else _START_GPU)
        + compiling
        + _RUN * units.get("runs", 0)
        + units["gflops"] / gflops_per_second(load)
        + units.get("steps", 0) * step
        + units["listings"] * listing
    )


def gflops_per_second(load: Load) -> float:
    """What a training reaches: narrow networks less, since they do more beside their products."""
    share = load.width / (load.width + _HALF)
    if load.device == "cpu":
        return _CORE * share * math.pow(load.threads, 0.95) / (1 if load.precision == "bf16" else 2)
    known = published(load.device, load.precision)
    return _GPU_SHARE * (known / 1e9 if known else _GPU_UNKNOWN) * min(1.0, 1.5 * share)
