"""Memory for a step: what a device has, what a process takes of it, and the way out when it is not enough."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from workbench.errors import MlimError
from workbench.train.task import Movable
from workbench.train.world import World

_OF_GPU, _OF_MACHINE = 0.9, 0.5  # shares of what is free that a step may take; a machine also holds batches made ahead
_PHRASES = ("can't allocate memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory")
_MEMBERSHIP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # cgroups(7)
_PEAK = Path("/proc/self/clear_refs")  # proc(5): the peak of this process is counted anew when 5 is written
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
    if not os.access(_PEAK, os.W_OK):
        raise MlimError(f"optim: auto: there is no {_PEAK} on this machine to measure by; give a number")
    _give_back()
    return _status("VmRSS") + int(_OF_MACHINE * available() / sharers)


def held(device: torch.device) -> int:
    """Bytes that this process holds on the device."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _status("VmRSS")


def peak(device: torch.device, work: Callable[[], None]) -> int:
    """The most bytes that this process held on the device while it did some work."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    _PEAK.write_text("5")
    work()
    return _status("VmHWM")


def _give_back() -> None:
    """What is freed but kept for later, which would seem to be in use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def available() -> int:
    """Bytes of memory that programs may still have on this machine, and in this container."""
    free = _lines(Path("/proc/meminfo"))["MemAvailable"]
    return min([free, *_groups()])


def _groups() -> Iterator[int]:
    """What the limit of each control group that this process is in leaves; what it caches of files is not in use."""
    for line in _MEMBERSHIP.read_text().splitlines():
        _, kinds, name = line.split(":", 2)
        root, limit, use = (
            (_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            if "memory" in kinds.split(",")
            else (_GROUPS, "memory.max", "memory.current")
        )
        path = Path(name.lstrip("/"))
        for folder in (root / path, *(root / parent for parent in path.parents)):
            if (folder / limit).exists() and (said := (folder / limit).read_text().strip()) != "max":
                yield int(said) - int((folder / use).read_text()) + _lines(folder / "memory.stat", 1)["inactive_file"]


def _status(word: str) -> int:
    return _lines(Path("/proc/self/status"))[word]


def _lines(path: Path, unit: int = 1024) -> dict[str, int]:
    """`word: number …` a line."""
    words = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {w[0]: int(w[1]) * unit for w in words if len(w) > 1 and w[1].isdigit()}
