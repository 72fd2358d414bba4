"""What some steps did and what their time went to; and how much of a device's peak that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from workbench.train.flops import positions
from workbench.train.memory import held
from workbench.train.peak import Peak, peak_of
from workbench.train.step import Precision

if TYPE_CHECKING:
    from workbench.train.loop import Progress


@dataclass(frozen=True)
class Span:
    """Sums over some steps and all ranks; times in seconds."""

    samples: float = 0.0  # listings or pairs
    seconds: float = 0.0
    waited: float = 0.0  # of the seconds, for data
    validated: float = 0.0
    saved: float = 0.0
    positions: float = 0.0  # of texts and pictures
    padding: float = 0.0  # positions beside these
    flops: float = 0.0  # that the steps needed

    def __add__(self, other: Span) -> Span:
        return Span(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def training(self) -> float:
        """Seconds without validations and checkpoints, by which speeds go."""
        return max(self.seconds - self.validated - self.saved, 1e-9)

    def sums(self) -> dict[str, float]:
        """Those that were counted."""
        always = ("samples", "seconds", "waited")
        return {name: value for name, value in asdict(self).items() if value or name in always}


@dataclass
class Gauge:
    """How the work of a training is counted; by default it is not."""

    flops: Callable[[Any], float] | None = None  # that a micro-batch of listings needs
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "bf16"
    devices: int = 1
    peak: Peak | None = None  # of one device

    def begin(self) -> None:
        """Measure what is to be measured, before the training."""
        if self.flops and not self.peak:
            self.peak = peak_of(self.device, self.precision)

    def span(self, progress: Progress) -> Span:
        """One step. Of other ranks' work it is assumed that it is like this one's."""
        validated = progress.validated if progress.valid else 0.0  # else what it takes to see that none is due
        times = progress.samples, progress.seconds, progress.waited, validated, progress.saved
        if not self.flops:
            return Span(*times)
        real, every = (sum(counts) for counts in zip(*map(positions, progress.batches), strict=True))  # type: ignore[arg-type]
        share = progress.samples / sum(map(len, progress.batches))
        return Span(*times, share * real, share * (every - real), share * sum(map(self.flops, progress.batches)))

    def share(self, span: Span) -> float | None:
        """MFU: of what all devices could have computed in the time of the steps."""
        return span.flops / (span.training * self.devices * self.peak.flops) if self.peak else None

    def memory(self) -> dict[str, int]:
        """Bytes that this process has, or had at most, on the device."""
        if self.device.type != "cuda":
            return {"resident": held(self.device)}
        most = torch.cuda.max_memory_allocated(self.device), torch.cuda.max_memory_reserved(self.device)
        return dict(zip(("allocated", "reserved"), most, strict=True))
