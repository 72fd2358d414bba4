"""The factor on the loss that keeps small gradients above zero in fp16 (Micikevicius et al. 2018, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST, _MOST = 2.0**16, 2.0**32  # the factor at the start, and at most
_CALM = 2000  # steps in a row without overflow after which it is doubled


class LossScale:
    """Halved at a step whose gradient overflows, doubled after many in which none does; always 1 unless `on`.

    A tensor on the device, so that nobody waits for it. `torch.amp.GradScaler` looks for what isn't finite among the
    gradients of its own rank, which with shards is not what the others see.
    """

    def __init__(self, on: bool, device: torch.device) -> None:
        self._on = on
        self.value = torch.tensor(_FIRST if on else 1.0, device=device)
        self._calm = torch.zeros((), device=device)

    def update(self, overflow: Tensor) -> None:
        """After a step: were its losses finite and its gradient not?"""
        if self._on:
            calm = torch.where(overflow, 0, self._calm + 1)
            grows = calm == _CALM
            self.value = torch.where(overflow, self.value / 2, self.value * (1 + grows)).clamp(1, _MOST)
            self._calm = torch.where(grows, 0, calm)

    def state(self) -> list[float]:
        """The factor and the steps since it changed, to be saved."""
        return [float(self.value), float(self._calm)]

    def restore(self, state: list[float]) -> None:
        self.value.fill_(state[0])
        self._calm.fill_(state[1])
