"""What a training resumes from, as whole tensors by name, however the model is spread over processes.

So a state written by any number of replicas or shards is read by any other number of either. `torch.distributed.
checkpoint` would write each rank's part, with its index pickled; ours are whole, since a model of this field fits into
the memory of a machine, and in safetensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from workbench.errors import ArtifactError
from workbench.train.snapshot import Snapshot
from workbench.train.world import World


def gathered(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    world: World,
    room: Snapshot | None = None,
) -> Snapshot:
    """Weights as `model.NAME`, the optimizer's, if given, as `optimizer.SLOT.NAME`: copies in the chief's memory, so
    that training may go on while they are written; nothing on other ranks. Collective.

    They are made in `room`, which are such copies of before: new memory costs more than the copying.
    """
    named = dict(_named(model, optimizer))
    copies = room or Snapshot(named if world.chief else {})
    for name, tensor in named.items():
        whole = _whole(tensor)
        if world.chief:
            copies[name].copy_(whole, non_blocking=True)
    if any(tensor.device.type == "cuda" for tensor in named.values()):
        torch.cuda.synchronize()
    return copies


@torch.no_grad()
def restore(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, world: World) -> None:
    """Put into a model and its optimizer what `gathered` gave; `tensors` are needed of the chief alone. Collective.

    Raises ArtifactError where the chief's tensors are of another model.
    """
    for name, tensor in _named(model, optimizer):
        whole = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        if world.chief:
            if name not in tensors or tensors[name].shape != tensor.shape:
                raise ArtifactError(f"the checkpoint has no {name} of shape {tuple(tensor.shape)}: another model's")
            whole.copy_(tensors[name])
        if world.size > 1:
            dist.broadcast(whole, 0)
        if isinstance(tensor, DTensor):
            tensor.copy_(distribute_tensor(whole, tensor.device_mesh, tensor.placements, src_data_rank=None))
        else:
            tensor.copy_(whole)


def _named(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the state, in an order that is the same on all ranks."""
    for name, parameter in model.named_parameters():
        yield f"model.{name}", parameter
        for slot, value in (optimizer.state.get(parameter, {}) if optimizer else {}).items():
            yield f"optimizer.{slot}.{name}", value


def _whole(tensor: Tensor) -> Tensor:
    whole: Tensor = tensor.detach()
    return whole.full_tensor() if isinstance(whole, DTensor) else whole
