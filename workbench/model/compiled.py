"""torch.compile for what a training does over and over, and for nothing else, which would be compiled anew."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.fx.experimental import _config


def compile_parts(*parts: nn.Module, **how: Any) -> None:
    """`nn.Module.compile` with open shapes. Sizes that happen to be equal, as that of a batch and the patches of a
    picture, are not taken for one, else they would have to be equal ever after."""
    _config.use_duck_shape = False
    for part in parts:
        part.compile(dynamic=True, **how)


def compiled(usual: bool) -> AbstractContextManager[None]:
    """Within it what is compiled runs so if this is a usual case, else as it is written. A size of 0 or 1 isn't, since
    code of its own would be made for it, nor is validation."""
    return nullcontext() if usual else torch.compiler.set_stance("force_eager")
