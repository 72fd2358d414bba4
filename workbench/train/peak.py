"""How many floating-point operations a second a device can do: as its vendor publishes, or as a product shows."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import torch

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


# Name that the driver gives -> TFLOP/s in 16 bits (products added up in float32, as torch does) and in float32, by the
# data sheets and architecture white papers of NVIDIA; theirs are often those with sparsity, twice as high.
_PUBLISHED = {
    r"B200": (2250.0, 75.0),
    r"H200": (989.4, 66.9),
    r"H100 80GB HBM3": (989.4, 66.9),  # SXM5
    r"H100 PCIe": (756.0, 51.2),
    r"(H100|H200) NVL": (835.5, 60.0),
    r"A100.*": (312.0, 19.5),
    r"A30": (165.0, 10.3),
    r"A10": (125.0, 31.2),
    r"A40": (149.7, 37.4),
    r"RTX A6000": (154.8, 38.7),
    r"L4": (121.0, 30.3),
    r"L40": (181.05, 90.5),
    r"L40S": (362.05, 91.6),
    r"T4": (65.0, 8.1),
    r"V100-SXM2.*": (125.0, 15.7),
    r"V100-PCIE.*": (112.0, 14.0),
    r"GeForce RTX 3090": (71.0, 35.6),
    r"GeForce RTX 4090": (165.2, 82.6),
}
_NO_BF16 = r"(T4|V100.*)"  # these have no unit for it
_SECONDS = 0.3  # of a measurement, at most about half as much more


def peak_of(device: torch.device, precision: Precision) -> Peak:
    """The published peak of a known card, else a measured one."""
    if device.type != "cuda":
        threads = torch.get_num_threads()
        return Peak(_measure(device, precision), True, f"{threads} CPU thread{'s' * (threads > 1)}")
    name = torch.cuda.get_device_name(device)
    known = published(name, precision)
    return Peak(known or _measure(device, precision), known is None, name)


def published(name: str, precision: Precision) -> float | None:
    """Operations a second of a whole card (a part of one, by MIG, has another name); None where it isn't known."""
    short = re.sub(r"^(NVIDIA|Tesla|NVIDIA Tesla) ", "", name)
    if "MIG" in short or (precision == "bf16" and re.fullmatch(_NO_BF16, short)):
        return None
    found = next((both for pattern, both in _PUBLISHED.items() if re.fullmatch(pattern, short)), None)
    return found and 1e12 * found[precision == "fp32"]


def _measure(device: torch.device, precision: Precision) -> float:
    """The best of products of ever larger square matrices. Of ones: a draw would change what is drawn after it."""
    side, largest, best, end = 256, 8192 if device.type == "cuda" else 2048, 0.0, time.perf_counter() + _SECONDS
    seconds = 0.0
    while time.perf_counter() + seconds < end:
        matrix = torch.ones(side, side, dtype=TYPES[precision], device=device)
        _seconds(matrix)  # a first call prepares
        seconds = min(_seconds(matrix) for _ in range(3))
        best = max(best, 2 * side**3 / seconds)
        if side < largest and time.perf_counter() + 32 * seconds < end:  # four products, each of eight times the work
            side *= 2
    return best


def _seconds(matrix: torch.Tensor) -> float:
    begun = time.perf_counter()
    product = matrix @ matrix
    if product.is_cuda:
        torch.cuda.synchronize(product.device)
    return time.perf_counter() - begun
