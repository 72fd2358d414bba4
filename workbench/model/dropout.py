"""Dropout whose CPU version draws four elements from one random number: less than half of PyTorch's time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 2**16  # the rate is rounded to a multiple of its inverse


class Dropout(nn.Dropout):
    """`nn.Dropout`; on the CPU other draws of the same generator, at a rate within 1/130,000 of the one asked for."""

    def forward(self, x: Tensor) -> Tensor:
        """x, each element zeroed with probability p or else divided by 1 - p."""
        if not self.training or not self.p:
            return x
        if x.is_cuda or self.p == 1 or torch.compiler.is_compiling():
            return super().forward(x)
        return x * _kept(x, self.p)


def _kept(x: Tensor, p: float) -> Tensor:
    """1 / (1 - p) where an element stays, else 0."""
    dropped = round(p * _LEVELS)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _LEVELS // 2
    return kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))
