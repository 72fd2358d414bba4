"""The losses of pre-training by listing, so that whoever adds them up decides what they are averaged over."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.model.vision import pixels_of

_LEAST_VARIANCE = 1e-6  # of a patch's pixels, as in MAE


def mlm_nats(logits_MV: Tensor, tokens_M: Tensor) -> Tensor:
    """(M,) negative log-likelihood of the masked tokens in nats (paper, Loss: MLM)."""
    return F.cross_entropy(logits_MV.float(), tokens_M, reduction="none")


def recon_errors(drawn_BCHW: Tensor, true_BCHW: Tensor, counted_BP: Tensor | None = None) -> Tensor:
    """(B,) squared error summed over the channels, averaged over *all* pixels of a picture (paper, Loss: RECON), or
    over those of the patches in `counted_BP`; 0 where there is none.

    ValueError when the shapes differ, since one channel would broadcast to three.
    """
    if drawn_BCHW.shape != true_BCHW.shape:
        raise ValueError(f"shapes differ: {tuple(drawn_BCHW.shape)} redrawn, {tuple(true_BCHW.shape)} true")
    errors_BHW = (drawn_BCHW - true_BCHW).square().sum(1)
    if counted_BP is None:
        return errors_BHW.mean((1, 2))
    counted_BHW = pixels_of(counted_BP, drawn_BCHW)[:, 0]
    return (errors_BHW * counted_BHW).sum((1, 2)) / counted_BHW.sum((1, 2)).clamp(min=1)


def normalise(pixels_BCHW: Tensor, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels less their patch's mean, divided by its deviation (He et al. 2022, MAE, section 3); mean and deviation,
    (B, 1, H / patch, W / patch), over pixels and channels of a patch together."""
    patches_BKGG = F.pixel_unshuffle(pixels_BCHW, patch)
    mean_B1GG = patches_BKGG.mean(1, keepdim=True)
    deviation_B1GG = (patches_BKGG.var(1, keepdim=True) + _LEAST_VARIANCE).sqrt()
    return F.pixel_shuffle((patches_BKGG - mean_B1GG) / deviation_B1GG, patch), mean_B1GG, deviation_B1GG


def restore(normalised_BCHW: Tensor, mean_B1GG: Tensor, deviation_B1GG: Tensor) -> Tensor:
    """The pixels again, in [0, 1]."""
    patch = normalised_BCHW.shape[-1] // mean_B1GG.shape[-1]
    patches_BKGG = F.pixel_unshuffle(normalised_BCHW, patch)
    return F.pixel_shuffle(patches_BKGG * deviation_B1GG + mean_B1GG, patch).clamp(0, 1)


def contrast(scores_BB: Tensor, negatives_BB: Tensor) -> Tensor:
    """(B,) nats of finding the picture of a text, and the text of a picture, halved (InfoNCE both ways).

    scores_BB: text by picture, the own ones on the diagonal; what is neither own nor in `negatives_BB` is left out.
    """
    own_BB = torch.eye(len(scores_BB), dtype=torch.bool, device=scores_BB.device)
    scores_BB = scores_BB.masked_fill(~(negatives_BB | own_BB), -torch.inf)
    return -(scores_BB.log_softmax(1).diagonal() + scores_BB.log_softmax(0).diagonal()) / 2
