"""Which tokens the model doesn't see: a pure function of (seed, epoch, row).

Each listing draws from its own Philox stream, so masks don't depend on workers, ranks or order, resume exactly, and
fixed validation masks are simply epoch 0 (training counts epochs from 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.draws import MASKING, MODALITY, Epoch, streams, uniforms
from workbench.recipe.schema import Mam, Masking, ModalityDropout, Uniform

HEAVY_IMAGE, HEAVY_TEXT, LIGHT = 0, 1, 2
MODES = ("heavy image", "heavy text", "light")


@dataclass(frozen=True)
class Masks:
    """Masks of a batch: text (B, L) and image (B, P), True where masked, and the mode of each listing (B,)."""

    text_BL: NDArray[np.bool_]
    image_BP: NDArray[np.bool_]
    mode_B: NDArray[np.int64]


def draw_masks(
    masking: Masking,
    seed: int,
    epoch: Epoch,
    rows_B: NDArray[np.int64],
    maskable_BL: NDArray[np.bool_],
    patches: int,
    has_image_B: NDArray[np.bool_],
) -> Masks:
    """Masks for a batch; `maskable_BL` is True on ordinary text tokens: never on special tokens or padding.

    A share of n tokens masks floor(share * n) of them, and one more with the remainder as probability, so that shares
    hold on average for short texts too. Modality-aware masking (paper, MAM) draws one of three modes; a listing
    that lacks one modality is always masked lightly, since it has no partner to be guessed from. `epoch` is one of all
    listings, or each one's (B,).
    """
    text_BL = np.zeros(maskable_BL.shape, bool)
    image_BP = np.zeros((len(rows_B), patches), bool)
    mode_B = np.full(len(rows_B), LIGHT, np.int64)
    for i, draws in enumerate(streams(seed, MASKING, epoch, rows_B)):
        words = np.flatnonzero(maskable_BL[i])
        text_share, image_share, mode_B[i] = _shares(masking, draws.random(), bool(has_image_B[i] and len(words)))
        text_BL[i, _choose(draws, words, text_share)] = True
        if has_image_B[i]:
            image_BP[i, _choose(draws, np.arange(patches), image_share)] = True
    return Masks(text_BL, image_BP, mode_B)


def draw_modality_dropout(
    dropout: ModalityDropout, seed: int, epoch: Epoch, rows_B: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(keep text, keep image), each (B,): a listing loses its text, or its image, or neither (paper, MDO)."""
    u_B = uniforms(seed, MODALITY, epoch, rows_B, 1)[:, 0]
    return u_B >= dropout.text, (u_B < dropout.text) | (u_B >= dropout.text + dropout.image)


def _shares(masking: Masking, u: float, both: bool) -> tuple[float, float, int]:
    """Shares of text and image tokens to mask, and the mode, for a draw `u` in [0, 1)."""
    if isinstance(masking, Mam):
        heavy_image, heavy_text, _ = masking.modes
        if both and u < heavy_image:
            return 0.0, masking.heavy_image, HEAVY_IMAGE
        if both and u < heavy_image + heavy_text:
            return masking.heavy_text, 0.0, HEAVY_TEXT
        return masking.light_text, masking.light_image, LIGHT
    if isinstance(masking, Uniform):
        return masking.text, masking.image, LIGHT
    return 0.0, 0.0, LIGHT


def _choose(draws: np.random.Generator, positions: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    count = int(share * len(positions) + draws.random())
    return draws.permutation(positions)[:count]
