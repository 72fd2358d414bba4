"""A moving average of the weights (EMA), kept among the optimizer's state so that it is saved and spread with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@torch.no_grad()
def move(optimizer: torch.optim.Optimizer, decay: float, moved: Tensor) -> None:
    """average = d * average + (1 - d) * weights, if `moved`, a tensor that nobody waits for.

    d is the decay, or less after few steps, (1 + n) / (10 + n) after n of them: else the average of a short training
    would mostly be of the weights that it began with.
    """
    averages, weights = _both(optimizer)
    done = next(iter(optimizer.state.values()))["step"]
    ways = torch._foreach_sub(weights, averages)
    torch._foreach_mul_(ways, moved * (1 - ((1 + done) / (10 + done)).clamp(max=decay)))
    torch._foreach_add_(averages, ways)


@contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Within it the weights are their averages, where there are any."""
    swap(optimizer)
    try:
        yield
    finally:
        swap(optimizer)


@torch.no_grad()
def swap(optimizer: torch.optim.Optimizer) -> None:
    """Weights become their averages, where there are any, and the other way round."""
    for average, weight in zip(*_both(optimizer), strict=True):
        kept = weight.clone()
        weight.copy_(average)
        average.copy_(kept)


def _both(optimizer: torch.optim.Optimizer) -> tuple[list[Tensor], list[Tensor]]:
    pairs = [(state["average"], weight) for weight, state in optimizer.state.items() if "average" in state]
    return [average for average, _ in pairs], [weight for _, weight in pairs]
