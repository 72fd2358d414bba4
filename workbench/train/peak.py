"""How many floating-point operations a second a device can do: as its vendor publishes, or as a product shows."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from workbench.train.cards import published
from workbench.train.step import TYPES, Precision


@dataclass(frozen=True)
class Peak:
    """Of one device, dense (without sparsity), at the training's precision."""

    flops: float  # a second
    measured: bool
    device: str

    def __str__(self) -> str:
        how = "measured" if self.measured else "published"
        return f"{self.flops / 1e12:.3g} TFLOP/s of {self.device}, {how}"


_LONG, _ALL = 0.1, 0.5  # seconds that a product, and a measurement, may take


def peak_of(device: torch.device, precision: Precision) -> Peak:
    """The published peak of a known card, else a measured one."""
    if device.type != "cuda":
        threads = torch.get_num_threads()
        return Peak(_measure(device, precision), True, f"{threads} CPU thread{'s' * (threads > 1)}")
    name = torch.cuda.get_device_name(device)
    known = published(name, precision)
    return Peak(known or _measure(device, precision), known is None, name)


def _measure(device: torch.device, precision: Precision) -> float:
    """The best of products of ever larger square matrices. Of ones: a draw would change what is drawn after it."""
    side, largest, end = 128, 8192 if device.type == "cuda" else 2048, time.perf_counter() + _ALL
    best, before = 0.0, math.inf
    while True:
        matrix = torch.ones(side, side, dtype=TYPES[precision], device=device)
        seconds = min(_seconds(matrix) for _ in range(3))  # a first one prepares
        best = max(best, 2 * side**3 / seconds)
        working = seconds > 4 * before  # else threads wait for each other, and a larger one takes hardly longer
        if side == largest or time.perf_counter() > end or (working and 8 * seconds > _LONG):
            return best
        side, before = 2 * side, seconds


def _seconds(matrix: torch.Tensor) -> float:
    begun = time.perf_counter()
    product = matrix @ matrix
    if product.is_cuda:
        torch.cuda.synchronize(product.device)
    return time.perf_counter() - begun
