"""Which decoder a run takes, and why, in one line."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

from workbench.errors import RecipeError
from workbench.images.decode_cpu import CpuDecoder
from workbench.images.decode_dali import DaliDecoder, told
from workbench.images.decoder import Decoder
from workbench.images.shard import Shards
from workbench.recipe.schema import Runtime

PACKAGE = "nvidia-dali-cuda120"


def open_decoder(
    shards: Shards, side: int, runtime: Runtime, device: str, memory: Callable[[tuple[int, ...]], Any] | None = None
) -> tuple[Decoder, str]:
    """The decoder of the recipe's runtime section, and a line that says which and why.

    `device` as torch names it: cpu, cuda, cuda:1; DALI decodes where the model computes. `memory` is the CPU decoder's.
    Raises RecipeError where the recipe asks for DALI and it doesn't work here, which is tried on a picture.
    """
    wanted, why = runtime.decoder, "as the recipe says"
    if wanted == "auto":
        idle = "runtime.device is cpu" if runtime.device == "cpu" else "torch finds no GPU"
        why = idle if device == "cpu" else "torch has a GPU and DALI works"
    if wanted == "dali" or (wanted == "auto" and device != "cpu"):
        try:
            return _said(DaliDecoder(shards, side, _gpu(device), runtime.threads), why)
        except (ImportError, RuntimeError, OSError, IndexError) as error:
            found, todo = _found(error)
            if wanted == "dali":
                raise RecipeError(
                    f"runtime.decoder: found {found}; expected DALI to decode a picture on {device}; {todo}, or give "
                    f"auto or cpu"
                ) from error
            why = f"{found}; {todo} to decode on the GPU"
    return _said(CpuDecoder(shards, side, runtime.threads, runtime.decoded, memory), why)


def _said(decoder: Decoder, why: str) -> tuple[Decoder, str]:
    return decoder, f"pictures are decoded by {decoder.name} ({why})"


def _gpu(device: str) -> int | None:
    return None if device == "cpu" else int(device.partition(":")[2] or 0)


def _found(error: Exception) -> tuple[str, str]:
    """What is wrong with DALI here, and what to do."""
    if importlib.util.find_spec("nvidia") is None or importlib.util.find_spec("nvidia.dali") is None:
        if sys.platform != "linux":
            return f"no DALI for {sys.platform}", "run on Linux"
        return "no DALI", f"pip install {PACKAGE}"
    if isinstance(error, (ImportError, OSError)):
        return f"a DALI that can't be loaded ({told(error)})", f"pip install --force-reinstall {PACKAGE}"
    return f"a DALI that doesn't work ({told(error)})", "see to the GPU (nvidia-smi)"
