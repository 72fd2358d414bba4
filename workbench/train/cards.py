"""What GPUs can do, as their vendor publishes it. No torch here: a forecast needs it, too."""

from __future__ import annotations

import re
from typing import Literal

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


def published(name: str, precision: Literal["bf16", "fp16", "fp32"]) -> float | None:
    """Operations a second of a whole card (a part of one, by MIG, has another name); None where it isn't known."""
    short = re.sub(r"^(NVIDIA|Tesla|NVIDIA Tesla) ", "", name)
    if "MIG" in short or (precision == "bf16" and re.fullmatch(_NO_BF16, short)):
        return None
    found = next((both for pattern, both in _PUBLISHED.items() if re.fullmatch(pattern, short)), None)
    return found and 1e12 * found[precision == "fp32"]
