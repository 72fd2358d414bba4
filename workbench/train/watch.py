"""What the modules of a network give and what gradients come back to them, looked at while it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Seen:
    """An output of a module, or the gradient that came back to it."""

    module: str  # its name and kind
    largest: float  # magnitude among the finite numbers
    bad: int  # numbers that aren't finite
    numbers: int
    rows: list[int] = field(default_factory=list)  # of the listings whose numbers these are, where that can be told
    arrived: bool = False  # something not finite was in its input already


@dataclass
class Watch:
    """In the order in which they were computed."""

    rows_B: Tensor = field(default_factory=lambda: torch.zeros(0))  # of the batch that is computed
    outputs: list[Seen] = field(default_factory=list)
    gradients: list[Seen] = field(default_factory=list)

    @property
    def first_output(self) -> Seen | None:
        """The first that isn't finite: there it begins."""
        return next((seen for seen in self.outputs if seen.bad), None)

    @property
    def first_gradient(self) -> Seen | None:
        return next((seen for seen in self.gradients if seen.bad), None)

    def largest(self, count: int) -> list[Seen]:
        """The outputs of the largest numbers, one a module."""
        by_module: dict[str, Seen] = {}
        for seen in self.outputs:
            if seen.module not in by_module or seen.largest > by_module[seen.module].largest:
                by_module[seen.module] = seen
        return sorted(by_module.values(), key=lambda seen: -seen.largest)[:count]

    def _output(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        name = f"{name} ({type(module).__name__})"
        arrived = any(isinstance(x, Tensor) and not x.isfinite().all() for x in inputs)
        self.outputs.append(self._seen(name, output.detach(), arrived))
        if output.requires_grad:
            output.register_hook(partial(self._gradient, name))  # type: ignore[no-untyped-call]

    def _gradient(self, name: str, gradient: Tensor) -> None:
        self.gradients.append(self._seen(name, gradient))

    def _seen(self, name: str, x: Tensor, arrived: bool = False) -> Seen:
        bad = ~x.isfinite()
        largest = float(x.abs().masked_fill(bad, 0).max()) if x.numel() else 0.0
        by_listing = x.ndim > 2 and len(x) == len(self.rows_B)
        rows = self.rows_B[bad.flatten(1).any(1).cpu()].tolist() if by_listing else []
        return Seen(name, largest, int(bad.sum()), x.numel(), rows, arrived)


@contextmanager
def watching(model: nn.Module) -> Iterator[Watch]:
    """Within it every module of the model is watched."""
    watch = Watch()
    hooks = [module.register_forward_hook(partial(watch._output, name)) for name, module in model.named_modules()]
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()
