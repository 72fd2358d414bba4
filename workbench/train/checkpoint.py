"""Checkpoints of a training: folders that are complete by construction, and which of them stay.

<folder>/step-00001200/state.safetensors   weights and the optimizer's state
                       metrics.jsonl       the log up to this step
                       position.json       the rest of it
<folder>/step-00001200.tmp/                one that is being written; never read
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.artifacts.store import fsync
from workbench.errors import ArtifactError

STATE, METRICS, POSITION = "state.safetensors", "metrics.jsonl", "position.json"


@dataclass(frozen=True)
class Position:
    """Where a training stands, beside its tensors. The order of the listings, masks, crops and dropout are functions of
    the seed and the step, so the step is all that is to be known of every generator and of the sampler."""

    step: int = 0  # optimizer steps done
    steps: int = 0  # of the whole training, as it was planned then
    rates: str = ""  # what else its rates depended on
    micro_batch: int = 0  # listings in memory at once, as they fitted
    scale: list[float] = field(default_factory=list)  # of the loss, in fp16
    bad: int = 0  # steps left out so far since they weren't finite
    in_a_row: int = 0  # of these, the last ones
    best: float | None = None  # lowest loss of a validation
    best_step: int = 0
    waited: int = 0  # validations since
    seconds: float = 0.0  # trained so far, over all runs


@dataclass(frozen=True)
class Checkpoint:
    """A complete one."""

    folder: Path
    position: Position

    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.folder / STATE)


class Checkpoints:
    """The checkpoints of one training. Raises ArtifactError for those of another."""

    def __init__(self, folder: Path, of: Mapping[str, Any]) -> None:
        """`of` tells what the training depends on: a checkpoint that was written with another is refused."""
        self.folder, self._of = folder, of

    def all(self) -> list[Checkpoint]:
        """The complete ones, newest first."""
        found = []
        for folder in sorted(self.folder.glob("step-*[0-9]"), reverse=True):
            said = json.loads((folder / POSITION).read_text())
            if said.pop("of") != self._of:
                raise ArtifactError(f"{folder}: a checkpoint of another training")
            found.append(Checkpoint(folder, Position(**said)))
        return found

    def due(self, step: int, seconds: float) -> bool:
        """Whether one should be written now."""
        return step % 200 == 0

    def save(self, tensors: Mapping[str, Tensor], position: Position, metrics: bytes) -> None:
        """Write one; it is complete, or not there."""
        name = f"step-{position.step:08d}"
        aside, final = self.folder / f"{name}.tmp", self.folder / name
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file(dict(tensors), aside / STATE)
        (aside / METRICS).write_bytes(metrics)
        (aside / POSITION).write_text(json.dumps(asdict(position) | {"of": self._of}, indent=1))
        for file in (aside / STATE, aside / METRICS, aside / POSITION, aside):
            fsync(file)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        fsync(self.folder)
        for old in self.all()[2:]:
            if old.position.step != position.best_step:
                shutil.rmtree(old.folder)

    def finished(self) -> None:
        """Wait for what is being written, and remove what only an unfinished training needs."""
        shutil.rmtree(self.folder, ignore_errors=True)


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file: aside, flushed to the disk, renamed."""
    aside = path.with_name(path.name + ".tmp")
    save_file({n: t.detach().contiguous().cpu() for n, t in tensors.items()}, aside, metadata)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.rename(path)


def read_weights(path: Path, model: nn.Module) -> None:
    """Weights of a finished model; ArtifactError when they are another model's."""
    with safe_open(path, "pt") as file:
        tensors = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118 - not a dict
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(f"{path}: not the weights of this model: {error}") from None
