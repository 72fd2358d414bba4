"""torch, the driver, and each GPU; where torch sees none, why."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Any

from workbench.doctor.child import told
from workbench.doctor.finding import Finding
from workbench.forecast.words import size

DRIVER, DEVICE, WSL = Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg")
UPDATE = "update the NVIDIA driver, or install a torch that is built for its CUDA (pytorch.org/get-started)"
CURES = {  # a word of CUDA's own message -> what to do
    "too old": UPDATE,
    "insufficient": UPDATE,
    "unsupported display driver": "the kernel's driver and libcuda are of two versions: restart the machine, or remove "
    "the older one",
    "not yet initialized": "start nvidia-fabricmanager, of the driver's version (`systemctl status`)",
    "unknown error": "load the driver again: `rmmod nvidia_uvm && modprobe nvidia_uvm`; else restart the machine",
    "out of memory": "another program has taken the GPU's memory (`nvidia-smi`): end it",
    "no kernel image": "install a torch that is built for this GPU's compute capability",
}


def torch_and_gpus(device: str) -> list[Finding]:
    """torch's build; each GPU, named `GPU 0`, …, or why none is there. `device` is runtime.device."""
    import torch

    build = f"{torch.__version__}, " + (f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU")
    findings = [Finding("torch", "ok", build)]
    if device == "cpu":
        return findings
    wanted = device == "cuda"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        found, mend = why_none(torch.version.cuda, torch.version.hip, told(error))
        mend += "; or set runtime.device: auto" if wanted else ""
        return [*findings, Finding("GPU", "missing", found, mend, needed=wanted)]
    return findings + [_gpu(torch, number) for number in range(torch.cuda.device_count())]


def why_none(cuda: str | None, hip: str | None, said: str) -> tuple[str, str]:
    """Why torch, built for this CUDA or HIP, sees no GPU, with its own words; and what to do."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there, loaded = DEVICE.exists() or WSL.exists(), DRIVER.exists()
    if hip:
        return said, "see to the ROCm driver (`rocminfo`)"
    if not there and not loaded:
        return "no NVIDIA driver here", "install it, if there is a GPU; mlim also runs on the CPU"
    if not there:
        return f"a driver is loaded, but {DEVICE} is not here", "start the container with GPUs: docker run --gpus all"
    if not cuda:
        return "a driver is here, but torch is built for the CPU", "install torch for CUDA (pytorch.org/get-started)"
    if visible is not None and not re.match(r"\d|GPU-|MIG-", visible.strip()):
        return f"CUDA_VISIBLE_DEVICES is {visible!r}, which hides all", "unset CUDA_VISIBLE_DEVICES"
    if (driver := _driver()) and driver[0] < int(cuda.partition(".")[0]):
        newest = ".".join(map(str, driver))
        return f"the driver knows CUDA up to {newest}, torch is built for {cuda}", UPDATE
    if visible is not None:
        said += f"; CUDA_VISIBLE_DEVICES is {visible!r}"
    return said, _cure(said)


def _cure(said: str) -> str:
    return next((cure for word, cure in CURES.items() if word in said), "`nvidia-smi` tells more; restart the machine")


def _driver() -> tuple[int, int] | None:
    """The newest CUDA that the driver knows."""
    version = ctypes.c_int()
    try:
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)):
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def _gpu(torch: Any, number: int) -> Finding:
    """A GPU's name, memory and capability, after work that any of them can do."""
    name = f"GPU {number}"
    try:
        about = torch.cuda.get_device_properties(number)
        ones = torch.ones(64, 64, device=f"cuda:{number}")
        good = bool(((ones @ ones) == 64).all())
        free, total = torch.cuda.mem_get_info(number)
    except RuntimeError as error:
        said = told(error)
        return Finding(name, "broken", said, f"{_cure(said)}; or hide it: CUDA_VISIBLE_DEVICES")
    capability = f"{about.major}.{about.minor}"
    found = f"{about.name}, {size(free)} free of {size(total)}, compute capability {capability}"
    if not good:
        return Finding(name, "broken", f"{found}: it computes wrongly", "take it out of use")
    if free < total / 2:
        return Finding(name, "warning", found, "other programs use it (`nvidia-smi`): end them, or take another GPU")
    return Finding(name, "ok", found)
