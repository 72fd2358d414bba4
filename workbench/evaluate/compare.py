"""Arms of a task compared: each measure with its interval, differences on the same resamples, findings in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.evaluate.intervals import BOOTSTRAP as BOOTSTRAP
from workbench.evaluate.intervals import Floats, estimate

NOTHING = "undefined, because nothing was measured"


@dataclass(frozen=True)
class Measured:
    """An arm's measures: name -> (R,) values over the resamples, one for each seed."""

    arm: str
    share: float | None
    seeds: Mapping[str, Sequence[Floats]]

    def values(self, metric: str) -> Floats:
        """(R,) mean over the seeds."""
        return np.asarray(np.mean(self.seeds[metric], axis=0))

    @property
    def is_baseline(self) -> bool:
        return self.arm.endswith(" baseline")


def arm_of(measured: Measured, undefined: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The fields that all tasks' arms have; a measure that is undefined is null, and `undefined` has the reason."""
    first = next(iter(measured.seeds.values()))
    intervals = {metric: estimate(measured.values(metric)).json() for metric in measured.seeds}
    fields = {"arm": measured.arm, "share": measured.share, "seeds": len(first), **intervals}
    why = {metric: (undefined or {}).get(metric, NOTHING) for metric, found in intervals.items() if found is None}
    return fields | ({"undefined": why} if why else {})


def differences(arms: Sequence[Measured], judge: str) -> list[dict[str, Any]]:
    """The pre-trained network against the others at the same share of labels: those that were trained otherwise, and
    each baseline. A baseline that needs no labels, or was learnt from other shares only, is met at every share."""
    found = []
    for left in (a for a in arms if a.arm == "pretrained"):
        for right in arms:
            if right.arm != "pretrained" and _comparable(left, right, arms):
                shared = [metric for metric in left.seeds if metric in right.seeds]
                gains = {m: estimate(left.values(m) - right.values(m)) for m in shared}
                better = {1: "left", -1: "right", 0: "undecided"}[gains[judge].sign]
                intervals = {metric: gain.json() for metric, gain in gains.items()}
                sides = {"left": left.arm, "right": right.arm, "share": left.share}
                found.append({**sides, **intervals, "better": better})
    return found


def verdict(arms: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], judge: str, name: str) -> list[str]:
    """What the differences allow to say: against the best baseline at each share, then what pre-training adds."""
    lines = []
    for main in sorted((a for a in arms if a["arm"] == "pretrained"), key=lambda a: -(a["share"] or 0)):
        rivals = {gain["right"]: gain for gain in found if gain["share"] == main["share"] and gain[judge]}
        known = [a for a in arms if a["arm"].endswith(" baseline") and a["arm"] in rivals and a[judge]]
        known = [a for a in known if a["share"] == main["share"]] or known
        if known and main[judge]:
            lines.append(_against(main, max(known, key=lambda a: a[judge]["mean"]), rivals, judge, name))
    effects = {"left": "pre-training pays", "right": "pre-training does harm"}
    for gain in found:
        if gain["right"] == "scratch" and gain[judge]:
            effect = effects.get(gain["better"], "pre-training makes no proven difference")
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


def labels_in_words(share: float | None) -> str:
    """1.0 -> all labels, 0.2 -> a fifth of the labels, 0.03 -> 3% of the labels, None -> no labels."""
    known = {1.0: "all", 0.5: "half of the", 0.25: "a quarter of the", 0.2: "a fifth of the", 0.1: "a tenth of the"}
    if share is None:
        return "no labels"
    return f"{known.get(share, f'{share:.0%} of the')} labels"


def number(value: float) -> float | None:
    """A number for JSON: null where it is not known."""
    return None if math.isnan(value) else float(value)


def _comparable(left: Measured, right: Measured, arms: Sequence[Measured]) -> bool:
    if right.share in (left.share, None):
        return True
    return right.is_baseline and not any(a.arm == right.arm and a.share == left.share for a in arms)


def _against(
    main: Mapping[str, Any], best: Mapping[str, Any], gains: Mapping[str, Mapping[str, Any]], judge: str, name: str
) -> str:
    gain = gains[best["arm"]]
    words = {"left": "beats", "right": "falls behind", "undecided": "cannot be told apart from"}[gain["better"]]
    return (
        f"With {labels_in_words(main['share'])}, the pre-trained network {words} the best baseline, "
        f"{best['arm'].removesuffix(' baseline')}: {name} {main[judge]['mean']:.3f} against {best[judge]['mean']:.3f}, "
        f"{_signed(gain[judge])}."
    )


def _signed(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"
