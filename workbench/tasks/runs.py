"""Which trainings there are: what a pre-training depends on; of a task each arm, at each share of the labels, with each
seed, and how long each is. No torch here: a forecast needs them, too."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.artifacts.key import key_of
from workbench.recipe.schema import Arm
from workbench.recipe.schema import Task as Section


@dataclass(frozen=True)
class Run:
    """One training: "pretrained" or "scratch", on a share of the labels."""

    arm: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.share:g}-{self.seed}"


def runs_of(section: Section) -> list[Run]:
    """The runs, longest first; the first is the pre-trained network on the most labels."""
    arms = ("pretrained", "scratch") if section.scratch else ("pretrained",)
    shares = sorted(set(section.label_shares), reverse=True)
    return [Run(arm, share, seed) for share in shares for seed in dict.fromkeys(section.seeds) for arm in arms]


def steps_for(arm: Arm, labels: int, share: float) -> int:
    """Optimizer steps: few labels are seen more often, so that steps shrink by the root of the share only."""
    return max(1, round(arm.epochs * math.ceil(labels / arm.optim.batch_size) * math.sqrt(share)))


def line_of(ingredients: Mapping[str, Any]) -> dict[str, Any]:
    """What a pre-training depends on, but for its length."""
    line: dict[str, Any] = copy.deepcopy(dict(ingredients))
    pretrain = line.get("section", {}).get("pretrain", {})
    pretrain.pop("epochs", None)
    pretrain.get("optim", {}).pop("cooldown", None)
    return line


def checkpoints_folder(ingredients: Mapping[str, Any], cache: Path) -> Path:
    """Where a pre-training's checkpoints are."""
    return cache / "checkpoints" / f"pretrain-{key_of(line_of(ingredients))[:16]}"


def steps_done(ingredients: Mapping[str, Any], cache: Path) -> dict[int, int]:
    """Length of a training in steps -> the last of them that a checkpoint holds."""
    names = sorted(path.name for path in checkpoints_folder(ingredients, cache).glob("step-*-of-*[0-9]"))
    return {int(steps): int(step) for step, steps in (name.removeprefix("step-").split("-of-") for name in names)}
