"""Memory for a step: what a device has, what a process takes of it, and the way out when it is not enough."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch

from workbench import linux
from workbench.errors import MlimError
from workbench.train.task import Movable
from workbench.train.world import World

_OF_GPU, _OF_MACHINE = 0.9, 0.5  # shares of what is free that a step may take; a machine also holds batches made ahead
_PHRASES = ("can't allocate memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory")
LEAST = "set runtime.recompute: true, a smaller model.image_side or tokens.max_length, or a smaller model.size"


def out_of_memory(error: RuntimeError) -> bool:
    """Whether it says that a device has no memory left; libraries below torch have words of their own for it."""
    return isinstance(error, torch.OutOfMemoryError) or any(phrase in str(error) for phrase in _PHRASES)


def halved(micro_batches: Sequence[Movable], world: World, say: Callable[[str], None]) -> int:
    """The micro-batch to try after a step of these ran out of memory, before anything was updated; tells of it.

    Raises MlimError where there is no smaller one, and where there are other processes: these wait for this one in the
    middle of an exchange and can't hear of it.
    """
    size = max(map(len, micro_batches))
    if size < 2:
        raise MlimError(f"out of memory with one listing at once: {LEAST}; or runtime.parallel: shard on several GPUs")
    if world.size > 1:
        raise MlimError(
            f"rank {world.rank}: out of memory with {size} listings at once; set pretrain.optim.micro_batch: "
            f"{size // 2}, or auto; the batch behind each step stays"
        )
    _give_back()
    say(f"out of memory with {size} listings at once: from here on {size // 2}, with the same batch behind each step")
    return size // 2


def room(device: torch.device, sharers: int = 1) -> int:
    """Bytes that this process may come to hold on the device, with a margin; `sharers` processes share a machine's."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(_OF_GPU * (free + torch.cuda.memory_reserved(device)))
    if not linux.can_count_anew():
        raise MlimError("optim: auto: this machine doesn't tell a process its peak of memory; give a number")
    _give_back()
    return linux.held() + int(_OF_MACHINE * linux.available() / sharers)


def held(device: torch.device) -> int:
    """Bytes that this process holds on the device."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else linux.held()


def peak(device: torch.device, work: Callable[[], None]) -> int:
    """The most bytes that this process held on the device while it did some work."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    linux.count_anew()
    work()
    return linux.peak()


def _give_back() -> None:
    """What is freed but kept for later, which would seem to be in use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
