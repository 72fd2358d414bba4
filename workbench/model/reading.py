"""A batch as the network reads it: each pass is computed once, when an objective first asks for it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from workbench.batch import Batch
from workbench.model.mlim import Mlim


class Reading:
    """Passes of a network over a batch; each gives outputs at the text (B, L, D) and the image positions (B, P, D)."""

    def __init__(self, network: Mlim, batch: Batch) -> None:
        self.network = network
        self.batch = batch

    @cached_property
    def masked(self) -> tuple[Tensor, Tensor]:
        """Text and picture in one sequence, with what is masked hidden."""
        return self.network.encode(self.batch)

    @cached_property
    def unmasked(self) -> Batch:
        """The batch with nothing hidden."""
        batch = self.batch
        return replace(
            batch,
            shown_BL=batch.tokens_BL,
            text_masked_BL=torch.zeros_like(batch.text_masked_BL),
            image_masked_BP=torch.zeros_like(batch.image_masked_BP),
        )

    @cached_property
    def apart(self) -> tuple[Tensor, Tensor]:
        """(B, D) text and (B, D) picture, unmasked, each read without the other: means of the outputs, in float32."""
        text_BLD, image_BPD = self.network.encode_apart(self.unmasked)
        real_BL1 = self.batch.text_real_BL[:, :, None]
        return (text_BLD.float() * real_BL1).sum(1) / real_BL1.sum(1), image_BPD.float().mean(1)
