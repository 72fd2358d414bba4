"""What this machine has, found out without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from workbench import linux
from workbench.recipe.schema import Runtime


@dataclass(frozen=True)
class Machine:
    """What a run may use."""

    cores: int
    memory: int | None  # bytes that this process may take; None where the system doesn't tell
    disk: int  # bytes free where the cache is
    gpu: str = ""  # name of the first GPU that the recipe lets it use; "": none
    gpu_memory: int = 0  # bytes, of that one
    gpus: int = 0
    ranks: int = 1  # processes that share a pre-training, of which this is one (torchrun, `--nproc`)


def this_machine(runtime: Runtime) -> Machine:
    """As the recipe's runtime section lets it be used."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cores = runtime.threads or max(1, len(os.sched_getaffinity(0)) // here)
    cache = next(folder for folder in (runtime.cache, *runtime.cache.parents) if folder.exists())
    gpu, gpu_memory, gpus = _gpus() if runtime.device != "cpu" else ("", 0, 0)
    return Machine(
        cores, _limit(), shutil.disk_usage(cache).free, gpu, gpu_memory, gpus, int(os.environ.get("WORLD_SIZE", "1"))
    )


def _limit() -> int | None:
    """The machine's memory, or what the control groups leave of it (a container's limit)."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in os.sysconf_names else None
    return min((found for found in (linux.memory(), pages) if found is not None), default=None)


def _gpus() -> tuple[str, int, int]:
    """Name and bytes of the first GPU, and how many there are, as the driver's own program tells them."""
    program, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
    if not program or visible == "":
        return "", 0, 0
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout.splitlines()
        name, megabytes = lines[0].rsplit(",", 1)
        return name.strip(), int(megabytes) * 2**20, len(visible.split(",")) if visible else len(lines)
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return "", 0, 0
