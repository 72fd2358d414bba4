"""Arms of a task compared: each measure with its interval, differences on the same resamples, findings in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from workbench.evaluate.intervals import Floats, estimate

NOTHING = "undefined, because nothing was measured"
AGAINST = {"left": "beats", "right": "falls behind", "undecided": "cannot be told apart from"}
EFFECTS = {
    "scratch": {
        "left": "pre-training pays",
        "right": "pre-training does harm",
        "undecided": "pre-training makes no proven difference",
    },
    "cross": {
        "left": "reading both listings together is worse than reading each by itself",
        "right": "reading both listings together is better than reading each by itself",
        "undecided": "reading both listings together cannot be told apart from reading each by itself",
    },
    "together": {
        "left": "a network of its own is better than one for all tasks",
        "right": "one network for all tasks is better than one of its own",
        "undecided": "one network for all tasks cannot be told apart from one of its own",
    },
}


@dataclass(frozen=True)
class Measured:
    """An arm's measures: name -> (R,) values over the resamples, one for each seed."""

    arm: str
    share: float | None
    seeds: Mapping[str, Sequence[Floats]]

    def values(self, metric: str) -> Floats:
        """(R,) mean over the seeds."""
        return np.asarray(np.mean(self.seeds[metric], axis=0))


def arm_of(measured: Measured, undefined: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The fields that all tasks' arms have; a measure that is undefined is null, and `undefined` has the reason."""
    first = next(iter(measured.seeds.values()))
    intervals = {metric: estimate(measured.values(metric)).json() for metric in measured.seeds}
    fields = {"arm": measured.arm, "share": measured.share, "seeds": len(first), **intervals}
    why = {metric: (undefined or {}).get(metric, NOTHING) for metric, found in intervals.items() if found is None}
    return fields | ({"undefined": why} if why else {})


def differences(arms: Sequence[Measured], judge: str) -> list[dict[str, Any]]:
    """The pre-trained network against every other arm that learned from the same share of the labels, or needs none."""
    found = []
    for left in (a for a in arms if a.arm == "pretrained"):
        for right in arms:
            if right.arm != "pretrained" and right.share in (left.share, None):
                shared = [metric for metric in left.seeds if metric in right.seeds]
                gains = {m: estimate(left.values(m) - right.values(m)) for m in shared}
                better = {1: "left", -1: "right", 0: "undecided"}[gains[judge].sign]
                intervals = {metric: gain.json() for metric, gain in gains.items()}
                sides = {"left": left.arm, "right": right.arm, "share": left.share, "right_share": right.share}
                found.append({**sides, **intervals, "better": better})
    return found


def verdict(arms: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], judge: str, name: str) -> list[str]:
    """What the differences allow to say: against the best baseline at each share, then what pre-training adds."""
    known = {(a["arm"], a["share"]): a[judge]["mean"] for a in arms if a[judge]}
    gains = [gain for gain in found if gain[judge]]
    lines = []
    for share in sorted({gain["share"] for gain in gains}, reverse=True):
        rivals = [g for g in gains if g["share"] == share and g["right"].endswith(" baseline")]
        if rivals:
            best = max(rivals, key=lambda g: known[g["right"], g["right_share"]])
            values = f"{known['pretrained', share]:.3f} against {known[best['right'], best['right_share']]:.3f}"
            lines.append(
                f"With {labels_in_words(share)}, the pre-trained network {AGAINST[best['better']]} the best baseline, "
                f"{best['right'].removesuffix(' baseline')}: {name} {values}, {_signed(best[judge])}."
            )
    for right, effects in EFFECTS.items():
        for gain in (g for g in gains if g["right"] == right):
            effect = effects[gain["better"]]
            lines.append(f"With {labels_in_words(gain['share'])}, {effect}: {name} {_signed(gain[judge])}.")
    return lines


def curves(arms: Sequence[Mapping[str, Any]], judge: str) -> list[dict[str, Any]]:
    """Learning curves: each arm that was measured, from the fewest labels to all of them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for arm in sorted(arms, key=lambda a: a["share"] or 0):
        if arm[judge]:
            found.setdefault(arm["arm"], []).append({"share": arm["share"], **arm[judge]})
    order = dict.fromkeys(a["arm"] for a in arms)
    return [{"arm": name, "points": found[name]} for name in order if name in found]


def readings_in_words(values: Mapping[str, Floats], name: str) -> list[str]:
    """What both modalities are worth beside either alone, of reading -> (R,) the judge on the same listings."""
    lines = []
    for alone in (reading for reading in ("text", "picture") if "both" in values and reading in values):
        gain = estimate(values["both"] - values[alone])
        if not math.isnan(gain.mean):
            words = {1: "are better than", -1: "are worse than", 0: "cannot be told apart from"}[gain.sign]
            lines.append(f"Text and picture {words} the {alone} alone: {name} {_signed(asdict(gain))}.")
    return lines


def labels_in_words(share: float | None) -> str:
    """1.0 -> all labels, 0.2 -> a fifth of the labels, 0.03 -> 3% of the labels, None -> no labels."""
    known = {1.0: "all", 0.5: "half of the", 0.25: "a quarter of the", 0.2: "a fifth of the", 0.1: "a tenth of the"}
    if share is None:
        return "no labels"
    return f"{known.get(share, f'{share:.0%} of the')} labels"


def number(value: float) -> float | None:
    """A number for JSON: null where it is not known."""
    return None if math.isnan(value) else float(value)


def _signed(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"
