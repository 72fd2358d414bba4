"""Which trainings a task has: each arm, at each share of the labels, with each seed; and how long each is. No torch
here: a forecast needs them, too."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.recipe.schema import Arm, Finetune
from workbench.recipe.schema import Task as Section


@dataclass(frozen=True)
class Run:
    """One training: "pretrained", "scratch" or, for several tasks, "together", on a share of the labels."""

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


def together_of(tuned: Finetune) -> Section:
    """How one network is tuned for all tasks: as that of the first, with all labels and its first seed alone.

    A batch has as many labels as one of each task together, and the passes are those of the task with most.
    """
    first, arms = next(iter(tuned.tasks.values())), [task.pretrained for task in tuned.tasks.values()]
    optim = first.pretrained.optim.model_copy(update={"batch_size": sum(int(arm.optim.batch_size) for arm in arms)})
    arm = first.pretrained.model_copy(update={"optim": optim, "epochs": max(arm.epochs for arm in arms)})
    own = {"start": first.start, "dropout": first.dropout, "pretrained": arm, "scratch": None}
    return Section(**own, label_shares=(1.0,), seeds=first.seeds[:1])
