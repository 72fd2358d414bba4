"""One checkpoint of a training: a folder that is complete by construction.

step-00001200-of-00020000/state.safetensors   weights and the optimizer's state
                          metrics.jsonl       the log up to this step
                          model.json          what network it is (tasks/network.py), where that is known
                          position.json       the rest of it, and what tells whether the above is whole
step-00001200-of-00020000.tmp/                one that is being written, or a torn one; never read
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.artifacts.format import check_format
from workbench.artifacts.store import fsync
from workbench.errors import ArtifactError
from workbench.train.snapshot import Snapshot

STATE, METRICS, MODEL, POSITION = "state.safetensors", "metrics.jsonl", "model.json", "position.json"


@dataclass(frozen=True)
class Position:
    """Where a training stands, beside its tensors. The order of the listings, masks, crops and dropout are functions of
    the seed and the step, so the step is all that is to be known of every generator and of the sampler."""

    step: int = 0  # optimizer steps done
    steps: int = 0  # of the whole training, as it was planned then
    rates: str = ""  # what else its rates depended on
    micro_batch: int = 0  # listings in memory at once, as they fitted; 0: a rank's whole share
    batch_size: int = 0  # listings behind a step, which the recipe may have left to be found
    scale: list[float] = field(default_factory=list)  # of the loss, in fp16
    bad: int = 0  # steps left out so far since they weren't finite
    in_a_row: int = 0  # of these, the last ones
    best: float | None = None  # lowest loss of a validation
    best_step: int = 0
    waited: int = 0  # validations since
    seconds: float = 0.0  # trained so far, over all runs


@dataclass(frozen=True)
class Saved:
    """What a training goes on from."""

    position: Position
    tensors: Mapping[str, Tensor]
    metrics: bytes


@dataclass(frozen=True)
class Checkpoint:
    """What position.json tells of a checkpoint."""

    position: Position
    of: Mapping[str, Any]  # what the training depends on
    why: str  # it stays for good; "": it doesn't
    sizes: Mapping[str, int]  # bytes of each of the other files
    crc32: int  # of the tensors

    @property
    def name(self) -> str:
        """Of its folder. Trainings of several lengths share a folder, since one may be prolonged to another."""
        return f"step-{self.position.step:08d}-of-{self.position.steps:08d}"

    @classmethod
    def parse(cls, text: str | bytes, place: object = POSITION) -> Checkpoint:
        """Raises ValueError where this is no position.json, ArtifactError for one of a newer mlim, found at `place`."""
        try:
            said = json.loads(text)
            check_format(said, place, "take this checkpoint away: an earlier one is taken")
            own = {key: said.pop(key) for key in ("of", "why", "sizes", "crc32")}
            return cls(Position(**said), **own)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{POSITION} is not this mlim's ({error})") from None

    def text(self) -> str:
        """What `parse` reads."""
        own = {"why": self.why, "sizes": self.sizes, "crc32": self.crc32, "of": self.of}
        return json.dumps(asdict(self.position) | own, indent=1)

    def write(self, folder: Path, tensors: Snapshot, metrics: bytes, model: bytes = b"") -> None:
        """Below this folder, whole or not at all; `sizes` and `crc32` are found now. Raises OSError."""
        final, aside = folder / self.name, folder / f"{self.name}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            aside.mkdir(parents=True)
            tensors.write(aside / STATE)
            (aside / METRICS).write_bytes(metrics)
            if model:
                (aside / MODEL).write_bytes(model)
            sizes = {file.name: file.stat().st_size for file in sorted(aside.iterdir())}
            whole = Checkpoint(self.position, self.of, self.why, sizes, _crc32(tensors))
            (aside / POSITION).write_text(whole.text())
            for path in (*aside.iterdir(), aside):
                fsync(path)
            shutil.rmtree(final, ignore_errors=True)
            aside.rename(final)
            fsync(folder)
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def load(self, folder: Path) -> Saved:
        """From below this folder. Raises OSError or ValueError where it isn't whole."""
        tensors = load_file(folder / self.name / STATE)
        if _crc32(tensors) != self.crc32:
            raise ValueError(f"the bytes of {STATE} changed")
        return Saved(self.position, tensors, (folder / self.name / METRICS).read_bytes())


def open_checkpoint(folder: Path) -> Checkpoint:
    """Of a folder; raises OSError or ValueError where a file of it is missing or of another size than recorded."""
    checkpoint = Checkpoint.parse((folder / POSITION).read_bytes(), folder / POSITION)
    for name, size in checkpoint.sizes.items():
        if (found := (folder / name).stat().st_size) != size:
            raise ValueError(f"{name} has {found} bytes, expected {size}")
    return checkpoint


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    """Of the tensors' bytes in the order of their names; three gigabytes a second, and training goes on meanwhile."""
    checksum = 0
    for name in sorted(tensors):
        numbers = tensors[name].reshape(-1).view(torch.uint8).numpy()
        checksum = zlib.crc32(numbers.data, checksum)
    return checksum


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file: aside, flushed to the disk, renamed."""
    aside = path.with_name(path.name + ".tmp")
    save_file({n: t.detach().contiguous().cpu() for n, t in tensors.items()}, aside, metadata)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.rename(path)


def read_weights(path: Path, model: nn.Module, part: str = "") -> None:
    """Weights of a finished model; or, of a checkpoint's state.safetensors, of that `part` of what is trained, as their
    moving averages where it has them. ArtifactError when they are another model's."""
    with safe_open(path, "pt") as file:
        found = {n: n for n in file.keys()}  # noqa: SIM118 - not a dict
        if path.name == STATE:
            own = [n.removeprefix(f"model.{part}") for n in found if n.startswith(f"model.{part}")]
            averages = {n: f"optimizer.average.{part}{n}" for n in own}
            found = {n: averages[n] if averages[n] in found else f"model.{part}{n}" for n in own}
        tensors = {name: file.get_tensor(there) for name, there in found.items()}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:  # a line for each tensor, or for all that are missing
        why = shorten(str(error).split(":\n\t", 1)[-1], 300)
        raise ArtifactError(
            f"{path}: not the weights of this model: {why}; made by another version of mlim, or damaged: make it again"
        ) from None
