"""The first steps that a training left out since they weren't finite, kept so that `mlim replay` can look at them.

<folder>/step-00000123/weights.safetensors   the model's
                       batch-0.safetensors   the micro-batches of rank 0, as `NUMBER.FIELD`; one file a rank
                       step.json             what else the step depended on; written last
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from workbench.train.checkpoint import Position
from workbench.train.found import Found
from workbench.train.loop import Plan, seed_of
from workbench.train.state import gathered
from workbench.train.task import Movable, Task
from workbench.train.world import ALONE, World

WEIGHTS, BATCH, STEP = "weights.safetensors", "batch-{}.safetensors", "step.json"
KEPT = 3  # of a training


@dataclass(frozen=True)
class BadSteps:
    """Called on every rank with a step that was left out, and with where the training stands then, it keeps that step.

    The batch is asked for again. The weights are those at the time: on a GPU, whose losses are read every so many
    steps, some steps later. What can't be written is only told: the training is worth more.
    """

    folder: Path
    task: Task[Any]
    plan: Plan
    again: Callable[[int, int], Sequence[Movable]]  # this rank's micro-batches of a step (from 0), of this size
    about: Mapping[str, Any]  # from which the task is built again
    listings: Callable[[Sequence[int]], Sequence[Mapping[str, Any]]]  # what a person knows these rows by
    say: Callable[[str], None]
    world: World = ALONE

    def __call__(self, found: Found, position: Position) -> None:
        if not found.bad or position.bad >= KEPT:
            return
        micro_batches = self.again(found.step - 1, position.micro_batch)
        said = self._said(found, position)
        weights = gathered(self.task.model, None, self.world)
        folder, words = self.folder / f"step-{found.step:08d}", f"{', '.join(found.not_finite)} not finite"
        try:
            self._write(folder, found, micro_batches, weights, said)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            self.say(f"step {found.step} was left out, {words}; it could not be kept: {error}")
        else:
            self.say(f"step {found.step} was left out, {words}; `mlim replay {folder}` looks at it")

    def _said(self, found: Found, position: Position) -> dict[str, Any]:
        return {
            "step": found.step,
            "weights_after": position.step,
            "found": {name: str(value) for name, value in (found.losses | {"grad_norm": found.norm}).items()},
            "scale": found.scale,
            "precision": self.plan.precision,
            "ranks": self.world.size,
            **self.about,
        }

    def _write(
        self,
        folder: Path,
        found: Found,
        micro_batches: Sequence[Movable],
        weights: Mapping[str, Tensor],
        said: Mapping[str, Any],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {}
        for nth, batch in enumerate(micro_batches):
            tensors |= tensors_of(batch, f"{nth}.")
        rows = sorted({row for name, x in tensors.items() if name.endswith("rows_B") for row in x.tolist()})
        own = {"seed": seed_of(self.plan.seed, found.step - 1, self.world.rank), "listings": list(self.listings(rows))}
        save_file(tensors, folder / BATCH.format(self.world.rank), {name: json.dumps(x) for name, x in own.items()})
        if self.world.chief:
            save_file({name.removeprefix("model."): x for name, x in weights.items()}, folder / WEIGHTS)
            (folder / STEP).write_text(json.dumps(said, indent=1, ensure_ascii=False), "utf-8")


def tensors_of(batch: Any, above: str = "") -> dict[str, Tensor]:
    """Those of a batch, and of a batch within it, by name, in the CPU's memory."""
    found: dict[str, Tensor] = {}
    for field in dataclasses.fields(batch):
        value, name = getattr(batch, field.name), above + field.name
        found |= (
            {name: value.cpu().contiguous().clone()} if isinstance(value, Tensor) else tensors_of(value, f"{name}.")
        )
    return found
