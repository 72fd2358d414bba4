"""Which part of the split a product group lies in: a pure function of its name, so that groups never cross it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from workbench.recipe.schema import Split

Part = Literal["train", "valid", "test"]


def part_of(group: str, split: Split) -> Part:
    """The part of a group: a hash of seed and name gives a point in [0, 1), the shares cut that line in order."""
    digest = blake2b(f"{split.seed}\0{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    point = (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: exact as a float, so never rounded up to 1
    if point < split.train:
        return "train"
    # Against what is left for test, not train + valid: three shares may miss 1 by their rounding.
    return "test" if point >= 1 - split.test else "valid"
