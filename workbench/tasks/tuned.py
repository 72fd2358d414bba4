"""A tuned network: one encoder, and a head for each task that it answers; saved and read as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workbench.batch import Batch
from workbench.model.mlim import Mlim
from workbench.tasks.network import load_network, save_network
from workbench.tasks.pooling import pooled
from workbench.train.checkpoint import read_weights, write

HEAD, ANSWERS = "head.safetensors", "answers.json"


class Tuned(nn.Module):
    """The heads read a listing as `pooled` gives it."""

    def __init__(self, network: Mlim, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict(dict(heads))

    def pooled(self, batch: Batch) -> Tensor:
        """See pooling.py."""
        return pooled(self.network, batch)

    def said(self, task: str, batch: Batch, pooled_BX: Tensor) -> Tensor:
        """(B, …) what a task's head says of listings that were `pooled`: of a class head with its words and looks."""
        said: Tensor = self.heads[task](pooled_BX)
        plain = getattr(self.heads[task], "plain", None)
        return plain(batch, said) if plain else said


def width_of(network: Mlim) -> int:
    """D, the numbers of each mean."""
    return network.shape.size.width


def save_tuned(folder: Path, tuned: Tuned) -> None:
    """Weights of the heads, by "<task>.<name>", and of the network."""
    write(folder / HEAD, tuned.heads.state_dict())
    save_network(folder, tuned.network)


def write_answers(folder: Path, answers: Mapping[str, Any]) -> None:
    """What a head's numbers mean, by task, as JSON: classes, temperature, thresholds, whatever its task needs."""
    (folder / ANSWERS).write_text(json.dumps(answers, ensure_ascii=False, indent=1, allow_nan=False), "utf-8")


def read_answers(folder: Path) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((folder / ANSWERS).read_text("utf-8"))
    return answers


def load_tuned(folder: Path) -> Tuned:
    """What `save_tuned` and `write_answers` left, ready to answer."""
    from workbench.tasks.heads import head_of  # which know every task

    network = load_network(folder)
    heads = {task: head_of(task, width_of(network), told) for task, told in read_answers(folder).items()}
    tuned = Tuned(network, heads)
    read_weights(folder / HEAD, tuned.heads)
    return tuned.eval()
