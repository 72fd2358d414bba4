"""One optimizer step: forward, backward, exchange, clip, update; equal to that of the whole batch in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from workbench.model.compiled import compiled
from workbench.train.average import move
from workbench.train.memory import out_of_memory
from workbench.train.scale import LossScale
from workbench.train.spread import gradients
from workbench.train.task import Movable, Task
from workbench.train.world import World

Precision = Literal["bf16", "fp16", "fp32"]
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Updates:
    """How the weights of a task are updated."""

    task: Task[Any]
    module: nn.Module  # gives the task's sums, spread over the world
    optimizer: torch.optim.AdamW
    scale: LossScale
    world: World
    device: torch.device
    clip: float
    precision: Precision
    average: float | None

    def step(self, micro_batches: Sequence[Movable]) -> Tensor | None:
        """Update by the batch of which `micro_batches` are this rank's, as many on every rank: each of the task's
        losses over the whole batch, the gradient's global norm before it was clipped, and the factor on the loss.

        Where one of these isn't finite, nothing is updated, on any rank. In float64 and on the device: what it computes
        nobody waits for here. None where the memory did not suffice; then nothing was updated either.
        """
        try:
            losses = self.gradients(micro_batches)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            self.optimizer.zero_grad(set_to_none=True)
            return None
        return self._update(losses)

    def gradients(self, micro_batches: Sequence[Movable]) -> Tensor:
        """Leave the batch's gradient, by the number of ranks and not clipped yet, on the parameters: each loss over the
        whole batch."""
        task, world = self.task, self.world
        counts = totals(task, micro_batches, world)
        losses = torch.zeros(len(task.weights), dtype=torch.float64, device=self.device)
        for micro_batch in micro_batches:
            exchanged = gradients(self.module, micro_batch is micro_batches[-1])
            with exchanged, compiled(len(micro_batch) > 1):
                with torch.autocast(self.device.type, TYPES[self.precision], enabled=self.precision != "fp32"):
                    sums = self.module(micro_batch.to(self.device))
                means = [sums[name] / max(counts[name], 1) for name in task.weights]
                weighted = [weight * mean for weight, mean in zip(task.weights.values(), means, strict=True)]
                (torch.stack(weighted).sum() * self.scale.value).backward()  # type: ignore[no-untyped-call]
            losses += torch.stack(means).detach()
        if world.size > 1:
            dist.all_reduce(losses)
        return losses

    def _update(self, losses: Tensor) -> Tensor:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        scale = self.scale.value / self.world.size  # the ranks' gradients were averaged, and they are to be added up
        scaled = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        norm = (scaled.full_tensor() if isinstance(scaled, DTensor) else scaled) / scale
        torch.nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)
        found = torch.cat([losses, norm[None], self.scale.value[None]])
        bad = ~found.isfinite().all()
        # Fused AdamW divides by the one and does nothing where the other says so, without anybody waiting for it.
        self.optimizer.grad_scale, self.optimizer.found_inf = scale, bad.float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            move(self.optimizer, self.average, ~bad)
        self.scale.update(overflow=losses.isfinite().all() & ~norm.isfinite())
        return found


def totals(task: Task[Any], micro_batches: Sequence[Movable], world: World) -> dict[str, float]:
    """Counts over the whole effective batch and all ranks, before any forward pass."""
    own = dict.fromkeys(task.weights, 0)
    for micro_batch in micro_batches:
        for name, count in task.counts(micro_batch).items():
            own[name] += count
    return dict(zip(own, world.total(list(own.values())), strict=True))
