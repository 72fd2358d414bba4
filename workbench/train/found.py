"""What steps computed, read where the device is waited for anyway; and which of them left everything as it was."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Found:
    """Of one step."""

    step: int  # from 1, as in the log
    losses: dict[str, float]
    norm: float  # of the gradient before it was clipped
    scale: float  # factor on the loss, in fp16

    @property
    def not_finite(self) -> list[str]:
        """What isn't; if anything, the step was skipped: it left weights, moments, counts and average as they were."""
        return [name for name, value in (self.losses | {"grad_norm": self.norm}).items() if not math.isfinite(value)]

    @property
    def bad(self) -> bool:
        """Whether it was skipped for another reason than a factor on the loss that will be lower at the next step."""
        return bool(self.not_finite) and not (self.not_finite == ["grad_norm"] and self.scale > 1)

    def line(self) -> dict[str, Any]:
        """Of metrics.jsonl, for a step that was skipped: in JSON there are no numbers that aren't finite. The factor on
        the loss is told where it was to blame."""
        return {"step": self.step, "skipped": self.not_finite} | ({} if self.bad else {"scale": self.scale})


class Unread:
    """What was computed since the last reading, still on the device."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self._steps = list(names), list[tuple[int, Tensor]]()

    def add(self, step: int, values: Tensor) -> None:
        """As `Updates.step` gives them."""
        self._steps.append((step, values))

    def read(self) -> list[Found]:
        """Wait for all of them."""
        rows = torch.stack([values for _, values in self._steps]).tolist() if self._steps else []
        steps = [step for step, _ in self._steps]
        self._steps.clear()
        return [
            Found(step, dict(zip(self._names, losses, strict=True)), norm, scale)
            for step, (*losses, norm, scale) in zip(steps, rows, strict=True)
        ]
