"""The two losses of MLIM, as sums, so that accumulation over micro-batches can divide by the whole batch's counts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mlm_sum(logits_MV: Tensor, tokens_M: Tensor) -> Tensor:
    """Negative log-likelihood of the masked tokens in nats, summed over them (paper, Loss: MLM)."""
    return F.cross_entropy(logits_MV.float(), tokens_M, reduction="sum")


def recon_errors(redrawn_BCHW: Tensor, pixels_BCHW: Tensor) -> Tensor:
    """(B,) squared error summed over the channels, averaged over *all* pixels of a picture, masked or not.

    (Paper, Loss: RECON.) Both in [0, 1]; ValueError when the shapes differ, since one channel would broadcast to three.
    """
    if redrawn_BCHW.shape != pixels_BCHW.shape:
        raise ValueError(f"shapes differ: {tuple(redrawn_BCHW.shape)} redrawn, {tuple(pixels_BCHW.shape)} true")
    return (redrawn_BCHW - pixels_BCHW).square().sum(1).mean((1, 2))


def recon_sum(redrawn_BCHW: Tensor, pixels_BCHW: Tensor, has_image_B: Tensor) -> Tensor:
    """`recon_errors` summed over the pictures; listings without one count nothing."""
    return (recon_errors(redrawn_BCHW, pixels_BCHW) * has_image_B).sum()
