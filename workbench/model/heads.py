"""What is trained on top of the network for telling whether a text and a picture belong together."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.recipe.schema import Objectives

_GREATEST_SCALE = 100.0  # of cosines; beyond it training gets unstable (Radford et al. 2021, CLIP, section 2.5)


def cosines(left_BD: Tensor, right_BD: Tensor) -> Tensor:
    """(B, B), left by right; in float32, since bf16 can't tell near ones apart."""
    with torch.autocast(left_BD.device.type, enabled=False):
        return torch.mm(F.normalize(left_BD.float(), dim=1), F.normalize(right_BD.float(), dim=1).T)


class MatchHead(nn.Module):
    """One logit from the output of [CLS]: BERT's pooler, then a linear layer (ViLT)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, text_BLD: Tensor) -> Tensor:
        """(B,) log odds that text and picture belong together."""
        logits_B1: Tensor = self.out(torch.tanh(self.pooler(text_BLD[:, 0])))
        return logits_B1.float()[:, 0]


class ContrastHead(nn.Module):
    """Projections of both modalities onto one sphere, and the factor on their cosines: 1 / temperature."""

    def __init__(self, width: int, out: int, temperature: float) -> None:
        super().__init__()
        self.text = nn.Linear(width, out)
        self.image = nn.Linear(width, out)
        self.log_scale = nn.Parameter(torch.tensor([-math.log(temperature)]))  # FSDP2 takes no scalars

    def forward(self, text_BD: Tensor, image_BD: Tensor) -> Tensor:
        """(B, B) cosines, text by picture."""
        with torch.autocast(text_BD.device.type, enabled=False):
            return cosines(self.text(text_BD.float()), self.image(image_BD.float()))

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=_GREATEST_SCALE)


class Heads(nn.Module):
    """The heads of the objectives that have one and a weight."""

    def __init__(self, section: Objectives, width: int) -> None:
        super().__init__()
        itc = section.itc
        self.itm = MatchHead(width) if section.itm.weight else None
        self.itc = ContrastHead(width, itc.width, itc.temperature) if itc.weight else None
