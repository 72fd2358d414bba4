"""Variants measured -> ablation.json: means, intervals, paired differences with the first variant, cost, and the
verdict in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from workbench.ablate.measure import Measured
from workbench.evaluate.intervals import Floats, estimate

Json = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """A variant after its trainings: one entry a seed."""

    name: str
    sets: Sequence[str]
    measured: Sequence[Mapping[str, Measured]]  # by name of the measure
    losses: Sequence[Mapping[str, float]]  # held out, at the end of pre-training: mlm, recon, …
    seconds: Sequence[Mapping[str, float | None]]  # by stage; None: not known


def table(trained: Sequence[Trained], seeds: Sequence[int]) -> Json:
    """All that is shown; the first variant is what the others are compared with."""
    first = trained[0]
    names = list(dict.fromkeys(name for t in trained for name in t.measured[0]))
    variants = [
        {
            "name": t.name,
            "sets": list(t.sets),
            "measures": {name: _measure(t, first, name) for name in names if name in t.measured[0]},
            "losses": {name: float(np.mean([seed[name] for seed in t.losses])) for name in t.losses[0]},
            "seconds": {name: _mean([seed[name] for seed in t.seconds]) for name in t.seconds[0]},
        }
        for t in trained
    ]
    measures = {name: next(t.measured[0][name].of for t in trained if name in t.measured[0]) for name in names}
    content = {"seeds": list(seeds), "measures": measures, "variants": variants}
    return content | {"verdict": list(verdict(content))}


def _measure(trained: Trained, first: Trained, name: str) -> Json:
    """Mean over the seeds with its interval, and the difference on the same resamples: None for the first, and where
    other items were measured."""
    values = [seed[name].values_R for seed in trained.measured]
    shown: Json = {**asdict(estimate(_over_seeds(values))), "by_seed": [float(v[0]) for v in values]}
    base = [seed[name] for seed in first.measured if name in seed]
    same = (
        trained is not first
        and bool(base)
        and all(b.items.equals(s[name].items) for b, s in zip(base, trained.measured, strict=True))
    )
    return shown | {"difference": _difference(values, [b.values_R for b in base]) if same else None}


def _difference(values: Sequence[Floats], base: Sequence[Floats]) -> Json:
    gain = estimate(_over_seeds(values) - _over_seeds(base))
    by_seed = [float(v[0] - b[0]) for v, b in zip(values, base, strict=True)]
    return {**asdict(gain), "by_seed": by_seed, "sign": gain.sign}


def _over_seeds(values: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(values, axis=0))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def verdict(content: Json) -> Iterator[str]:
    """Which differences from the first variant are proven: the interval leaves out zero."""
    first, *others = content["variants"]
    for name, of in content["measures"].items():
        if name not in first["measures"]:
            continue
        base = first["measures"][name]
        yield f"{name} ({of}): {first['name']} has {interval(base)}."
        for other in others:
            gain = other["measures"].get(name, {}).get("difference")
            if gain is None:
                yield f"  {other['name']}: not measured on the same, so not compared."
                continue
            words = {1: "proven better", -1: "proven worse", 0: "no proven difference"}[gain["sign"]]
            yield f"  {other['name']}: {words}, {interval(gain, True)}{_seeds(gain)}."


def _seeds(gain: Mapping[str, Any]) -> str:
    """How many seeds say the same as the mean."""
    agree = sum(value * gain["mean"] > 0 for value in gain["by_seed"])
    return f", the same way in {agree} of {len(gain['by_seed'])} seeds"


def interval(value: Mapping[str, float], signed: bool = False) -> str:
    mean, low, high = (f"{value[k]:+.3f}" if signed else f"{value[k]:.3f}" for k in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"
