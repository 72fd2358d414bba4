"""A line of pre-trainings: all that differ in nothing but their length, one of which may be prolonged to another. No
torch here: a forecast needs to know how far one is, too."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.artifacts.key import key_of


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
