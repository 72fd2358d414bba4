"""The state of a training in one safetensors file, written aside and renamed: there is no half checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.errors import ArtifactError


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write weights, optimizer moments and the number of finished steps."""
    tensors: dict[str, Tensor] = {f"model.{n}": p for n, p in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for slot, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{slot}.{name}"] = torch.as_tensor(value)
    write(path, tensors, {"step": str(step)})


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Read a checkpoint into a model and its optimizer; returns the number of finished steps."""
    with safe_open(path, "pt") as file:
        names = file.keys()
        model.load_state_dict({n[6:]: file.get_tensor(n) for n in names if n.startswith("model.")})
        parameters = dict(model.named_parameters())
        for key in names:
            if key.startswith("optimizer."):
                _, slot, name = key.split(".", 2)
                # A CPU scalar stays where it is: fused AdamW keeps `step` beside the parameter, so move it along.
                optimizer.state[parameters[name]][slot] = file.get_tensor(key).to(parameters[name].device)
        return int(file.metadata()["step"])


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
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
