"""torch.compile: a small function is really compiled, from nothing, and compared with itself uncompiled."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
import tempfile
from pathlib import Path

from workbench.doctor.child import told
from workbench.doctor.finding import Finding

NAME = "torch.compile"
FAST = {
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "TORCHINDUCTOR_VEC_ISA_OK": "1",  # without six trial compilations
    "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",  # which would stay
}
WITHOUT = "or leave runtime.compile: false"


def compiling(device: str) -> list[Finding]:
    """Whether it works where the model is computed."""
    name = f"{NAME} on {device}"
    if lacking := _lacking(device):
        return [Finding(name, "missing", lacking[0], f"{lacking[1]}, {WITHOUT}")]
    place = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or _usual_cache())
    there = next(parent for parent in (place, *place.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix="mlim-doctor-") as folder:
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, **FAST}
            return [_compared(name, device)]
    except OSError as error:
        said = f"{there}: {error.strerror}"
        return [Finding(name, "broken", said, f"set TORCHINDUCTOR_CACHE_DIR to a folder you may write, {WITHOUT}")]


def _usual_cache() -> str:
    """Where compiled code lies by default: as another user made it, perhaps."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    return default_cache_dir()


def _lacking(device: str) -> tuple[str, str] | None:
    """What compiling needs and isn't here, and how to get it."""
    variable, usual, other = ("CXX", "g++", "clang++") if device == "cpu" else ("CC", "gcc", "clang")
    command = os.environ.get(variable) or usual
    if not any(map(shutil.which, (shlex.split(command)[0], other))):
        return f"no compiler ({command})", f"apt install {usual} (or set {variable})"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "no Python.h", "apt install python3-dev (of this Python)"
    return None


def _compared(name: str, device: str) -> Finding:
    import torch

    def some(x: torch.Tensor) -> torch.Tensor:
        return (torch.tanh(x) * x).sum(1)

    try:
        x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).to(device)
        off = float((torch.compile(some)(x) - some(x)).abs().max())
    except Exception as error:  # compilers fail in many ways
        return Finding(name, "broken", _cause(error), f"{_cure(str(error))}, {WITHOUT}")
    if not off < 1e-3:
        return Finding(name, "broken", f"what is compiled is off by {off:.2g}", f"install another torch, {WITHOUT}")
    return Finding(name, "ok", "a function compiled anew gives the same")


def _cause(error: BaseException) -> str:
    """The compiler's own line where there is one, else torch's first."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line[:300] for line in lines if "error:" in line), told(error))


def _cure(said: str) -> str:
    if "failed to map segment" in said or "Operation not permitted" in said:
        return "that disk forbids programs (noexec): set TORCHINDUCTOR_CACHE_DIR and TMPDIR to another"
    return "see that g++ (and on a GPU triton) work"
