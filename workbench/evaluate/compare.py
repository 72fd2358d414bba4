"""Arms of a task compared: each measure with its interval, differences on the same resamples, findings in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from workbench.evaluate.intervals import Floats, estimate

BOOTSTRAP = 2000  # resamples behind each interval


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


def arm_of(measured: Measured) -> dict[str, Any]:
    """The fields that all tasks' arms have."""
    first = next(iter(measured.seeds.values()))
    intervals = {metric: asdict(estimate(measured.values(metric))) for metric in measured.seeds}
    return {"arm": measured.arm, "share": measured.share, "seeds": len(first), **intervals}


def differences(arms: Sequence[Measured], judge: str) -> list[dict[str, Any]]:
    """The pre-trained network against the one from scratch at the same share, and against each baseline."""
    found = []
    for left in (a for a in arms if a.arm == "pretrained"):
        for right in arms:
            if right.is_baseline or (right.arm == "scratch" and right.share == left.share):
                gains = {m: estimate(left.values(m) - right.values(m)) for m in left.seeds}
                better = {1: "left", -1: "right", 0: "undecided"}[gains[judge].sign]
                intervals = {metric: asdict(gain) for metric, gain in gains.items()}
                sides = {"left": left.arm, "right": right.arm, "share": left.share}
                found.append({**sides, **intervals, "better": better})
    return found


def verdict(arms: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], judge: str, name: str) -> list[str]:
    """What the differences allow to say: against the best baseline, then what pre-training adds."""
    lines = []
    main = next(a for a in arms if a["arm"] == "pretrained")
    rivals = [a for a in arms if a["arm"].endswith(" baseline")]
    if rivals:
        best = max(rivals, key=lambda a: a[judge]["mean"])
        gain = _against(found, best["arm"], main["share"])
        words = {"left": "beats", "right": "falls behind", "undecided": "cannot be told apart from"}[gain["better"]]
        values = f"{main[judge]['mean']:.3f} against {best[judge]['mean']:.3f}"
        lines.append(
            f"With {labels_in_words(main['share'])}, the pre-trained network {words} the best baseline, "
            f"{best['arm'].removesuffix(' baseline')}: {name} {values}, {_signed(gain[judge])}."
        )
    effects = {"left": "pre-training pays", "right": "pre-training does harm"}
    for gain in found:
        if gain["right"] == "scratch":
            effect = effects.get(gain["better"], "pre-training makes no proven difference")
            lines.append(f"With {labels_in_words(gain['share'])}, {effect}: {name} {_signed(gain[judge])}.")
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


def _against(found: Sequence[Mapping[str, Any]], right: str, share: float | None) -> Mapping[str, Any]:
    return next(gain for gain in found if gain["right"] == right and gain["share"] == share)


def _signed(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"
