"""A training so small that its numbers can be computed by hand: a few weights, points, squared errors."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.recipe.schema import Checkpoints as When
from workbench.recipe.schema import Optim
from workbench.train.checkpoint import METRICS, Position
from workbench.train.checkpoints import Checkpoints
from workbench.train.loop import Outcome, Plan, fit

CPU = torch.device("cpu")
OPTIM = Optim(lr=0.01, warmup=0.2, clip=1e9)


@dataclass(frozen=True)
class Points:
    x_BD: Tensor
    y_B: Tensor

    def __len__(self) -> int:
        return len(self.y_B)

    def to(self, device: torch.device) -> "Points":
        return self


class Curve:
    """The task: sum over points of the squared error, averaged over all points."""

    weights = {"error": 1.0}  # noqa: RUF012

    def __init__(self, dropout: float = 0.0, model: nn.Module | None = None) -> None:
        torch.manual_seed(0)
        self.model = model or nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))

    def counts(self, batch: Points) -> Mapping[str, int]:
        return {"error": len(batch)}

    def sums(self, batch: Points) -> Mapping[str, Tensor]:
        return {"error": (self.model(batch.x_BD)[:, 0].float() - batch.y_B).square().sum()}


def points(seed: int, count: int = 6, x: float = 1.0) -> Points:
    """Drawn anew for each seed; `x` is their scale."""
    draws = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(count, 3, generator=draws)
    return Points(x * x_BD, x_BD.sum(1).sin())


def steady(step: int) -> list[Points]:
    return [points(step), points(1000 + step, 3)]


@dataclass
class Every(Checkpoints):
    """The checkpoints of a test: one every so many steps."""

    at: Path
    steps: int = 1
    last: int = 99

    def __post_init__(self) -> None:
        super().__init__(self.at, {}, When(steps=self.steps, minutes=None, last=self.last))


def train(
    folder: Path,
    plan: Plan,
    make: Callable[[int], Sequence[Points]] = steady,
    *,
    task: Curve | None = None,
    stop_at: int = 0,
    every: int = 1,
    **how: Any,
) -> tuple[Outcome, Curve]:
    """A training in `folder` as a new process would do it, asked to stop at step `stop_at`."""
    folder.mkdir(exist_ok=True)
    task = task or Curve()
    asked: list[None] = []

    def batches(start: int, size: int) -> Iterator[Sequence[Points]]:
        for step in range(start, plan.steps):
            asked.extend([None] * (step + 1 == stop_at))
            yield make(step)

    kept = Every(folder / "checkpoints", every)
    return fit(task, batches, plan, folder, kept, CPU, stop=lambda: bool(asked), **how), task


def state(folder: Path, step: int) -> tuple[dict[str, Tensor], Position]:
    """What a training saved at a step."""
    found = Checkpoints(folder / "checkpoints", {}).newest(lambda position: position.step == step)
    assert found
    return dict(found.tensors), found.position


def lines(folder: Path) -> list[dict[str, Any]]:
    """Of metrics.jsonl, in which nothing but JSON may be."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in (folder / METRICS).read_text().splitlines()]


def weights(task: Curve) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in task.model.named_parameters()}
