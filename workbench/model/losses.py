"""The two losses of MLIM, as sums, so that accumulation over micro-batches can divide by the whole batch's counts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mlm_sum(logits_MV: Tensor, tokens_M: Tensor) -> Tensor:
    """Negative log-likelihood of the masked tokens in nats, summed over them (paper, Loss: MLM)."""
    return F.cross_entropy(logits_MV.float(), tokens_M, reduction="sum")


def recon_sum(redrawn_BCHW: Tensor, pixels_BCHW: Tensor, has_image_B: Tensor) -> Tensor:
    """Squared error summed over the channels, averaged over *all* pixels of a picture, summed over pictures.

    Masked or not, every pixel counts (paper, Loss: RECON). Both in [0, 1]; listings without a picture count nothing.
    """
    if redrawn_BCHW.shape != pixels_BCHW.shape:
        raise ValueError(f"shapes differ: {tuple(redrawn_BCHW.shape)} redrawn, {tuple(pixels_BCHW.shape)} true")
    error_B = (redrawn_BCHW - pixels_BCHW).square().sum(1).mean((1, 2))
    return (error_B * has_image_B).sum()
