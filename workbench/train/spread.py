"""One model over the processes of a world: whole in each (DDP), or a part of it (FSDP2)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from workbench.model.encoder import Layer
from workbench.train.task import Task
from workbench.train.world import World

Parallel = Literal["replicate", "shard"]


class Sums(nn.Module):
    """A task's sums as the forward pass of a module, which is where DDP and FSDP2 take hold."""

    def __init__(self, task: Task[Any]) -> None:
        super().__init__()
        self.model = task.model
        self._of = task.sums

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return dict(self._of(batch))


def spread(task: Task[Any], world: World, how: Parallel) -> nn.Module:
    """The module whose forward pass gives the task's sums on this rank's micro-batch.

    Its backward pass leaves the *mean* of the ranks' gradients, on every rank or on that which has the parameter.
    """
    sums = Sums(task)
    if world.size == 1:
        return sums
    if how == "replicate":
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view")  # of a convolution of one pixel
        return DistributedDataParallel(sums, gradient_as_bucket_view=True)
    for parameter in sums.parameters():
        dist.broadcast(parameter.data, 0)
    mesh = init_device_mesh(next(sums.parameters()).device.type, (world.size,))
    for module in sums.modules():
        if isinstance(module, Layer):
            fully_shard(module, mesh=mesh)
    fully_shard(sums, mesh=mesh)
    return sums


@torch.no_grad()
def make_whole(model: nn.Module) -> None:
    """Give every rank all of each parameter, once the training is over. Collective."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if isinstance(parameter, DTensor):
                module.register_parameter(name, nn.Parameter(parameter.full_tensor(), parameter.requires_grad))


@contextmanager
def gradients(module: nn.Module, exchanged: bool) -> Iterator[None]:
    """Within it, a backward pass exchanges gradients between the ranks or keeps them for a later one that does."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(exchanged)
    if isinstance(module, DistributedDataParallel) and not exchanged:
        with module.no_sync():
            yield
    else:
        yield
