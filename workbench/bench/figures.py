"""What was measured of a loader, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """Rates are listings a second; times are seconds a listing."""

    listings: int  # that pre-training reads
    pictures: int  # that are stored
    bytes: int  # of these
    encoding: str
    stored_side: int  # pixels, the most
    model_side: int
    batch: int  # listings that are in memory at once
    decoder: str  # its name
    said: str  # which it is, and why
    threads: int  # that decode, by the recipe
    cores: int
    memory: int  # bytes that are free
    kept: int  # bytes of decoded pictures that the recipe keeps
    parts: Mapping[str, float]  # of a core's time, where the CPU decodes
    cold: float  # seconds to read a listing's picture from the disk
    transfer: float | None  # to the GPU, where there is one
    bare: float  # rate of the decoder alone, of all threads
    rates: Mapping[int, float]  # of the whole loader, by threads; no picture is kept
    rate: float  # of the whole loader, as the recipe says
    later: float | None  # the same from the second epoch on, where the recipe keeps decoded pictures
    device: str
    model: str  # name of its size
    step: float  # rate at which training steps eat listings that lie ready

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU decodes."""
        return self.decoder.startswith("cpu")

    @property
    def whole(self) -> float:
        return sum(self.parts.values())

    @property
    def decoded_bytes(self) -> int:
        """Of all pictures, at most."""
        return self.pictures * 3 * self.stored_side**2

    @property
    def reached(self) -> float:
        """Share of the bare bound."""
        return min(1.0, self.rate / self.bare)

    @property
    def wait(self) -> float:
        """Share of the training's time that it waits for data, as expected from the two rates."""
        return max(0.0, 1 - (self.later or self.rate) / self.step)
