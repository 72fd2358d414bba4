"""AdamW, its rate at each step, and one rate a layer where asked."""

from __future__ import annotations

import math
import re

import torch
from torch import nn

from workbench.recipe.schema import Optim


def rate(step: int, steps: int, optim: Optim) -> float:
    """Share of the highest learning rate at a step (from 0): linear warmup, then a cosine to zero; or, `constant`, the
    highest until the last share of the steps, in which it falls in a straight line."""
    warmup = max(1, optim.warmup_steps or round(optim.warmup * steps))
    if step < warmup:
        return (step + 1) / warmup
    if optim.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
    falling = round(optim.cooldown * steps)
    return min(1.0, (steps - step) / max(1, falling))


def fork(steps: int, optim: Optim) -> int:
    """Steps after which a longer training may go another way: before the cooldown, and before the last, which is logged
    whatever its number; 0 where there is no such step."""
    return max(0, min(steps - round(optim.cooldown * steps), steps - 1)) if optim.schedule == "constant" else 0


def adamw(model: nn.Module, optim: Optim, layer_decay: float = 1.0, average: float | None = None) -> torch.optim.AdamW:
    """Fused AdamW on what learns; weight decay on matrices only. Each group keeps its own highest rate in `peak`.

    `layer_decay` < 1 makes each encoder layer's rate that share of the next higher one's; embeddings, below all
    layers, get the lowest, heads the full rate. With `average` the moving average of each parameter is kept beside its
    moments (see train/average.py). All of the state is there before the first step, so that it can be restored into.
    """
    depth = 1 + max((_layer(n) for n, _ in model.named_parameters()), default=0)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_layer(name, depth), parameter.ndim >= 2), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": optim.lr * layer_decay ** (depth - layer),
                "weight_decay": optim.weight_decay if matrix else 0.0,
            }
            for (layer, matrix), parameters in groups.items()
        ],
        lr=optim.lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
            **({"average": parameter.detach().clone()} if average else {}),
        }
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's rate to a share of its highest."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


_EMBEDDINGS = ("words", "text_positions", "image_positions", "image_embedder", "embedding_norm")


def _layer(name: str, head: int = 0) -> int:
    """Height of a parameter: 0 for embeddings, 1.. for the encoder's layers, `head` for what lies above."""
    found = re.search(r"encoder\.layers\.(\d+)\.", name)
    if found:
        return int(found[1]) + 1
    return 0 if any(part in _EMBEDDINGS for part in name.split(".")) else head
