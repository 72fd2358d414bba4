"""Which tokens the model doesn't see: a pure function of (seed, epoch, row).

Each listing draws from its own Philox stream, so masks don't depend on workers, ranks or order, resume exactly, and
fixed validation masks are simply epoch 0 (training counts epochs from 1). What is hidden together is in units.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.batches.units import blocks, number
from workbench.draws import MASKING, MODALITY, Epoch, streams, uniforms
from workbench.recipe.schema import Hiding, Mam, Masking, ModalityDropout, Uniform

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
    units_BL: NDArray[np.int64] | None = None,
) -> Masks:
    """Masks for a batch; `maskable_BL` is True on ordinary text tokens: never on special tokens or padding.

    A share of n units masks floor(share * n) of them, and one more with the remainder as probability: so each token is
    masked with the probability `share`, in short texts too. A text's units are as `text_units` numbers them, each token
    by default; a picture's are its patches, or `blocks` hide as many. Modality-aware masking (paper, MAM) draws one of
    three modes; a listing that lacks one modality is always masked lightly, since it has no partner to be guessed from.
    `epoch` is one of all listings, or each one's (B,).
    """
    if units_BL is None:
        units_BL = number(maskable_BL, maskable_BL)
    both_B = has_image_B & maskable_BL.any(1)
    counts_B = units_BL.max(1, initial=0).tolist()
    all_units, places = np.arange(1, units_BL.shape[1] + 1), np.arange(patches)
    chosen_BU = np.zeros((len(rows_B), len(all_units) + 1), bool)
    image_BP = np.zeros((len(rows_B), patches), bool)
    mode_B = np.full(len(rows_B), LIGHT, np.int64)
    shares_of = [shares(masking, mode) for mode in range(len(MODES))]
    by_blocks = isinstance(masking, Hiding) and masking.image_units == "block"
    for i, draws in enumerate(streams(seed, MASKING, epoch, rows_B)):
        u = draws.random()
        mode_B[i] = mode = _mode(masking, u) if both_B[i] else LIGHT
        text_share, image_share = shares_of[mode]
        count = int(text_share * counts_B[i] + draws.random())
        chosen_BU[i, draws.permutation(all_units[: counts_B[i]])[:count]] = True
        if image_share and has_image_B[i]:
            count = int(image_share * patches + draws.random())
            if by_blocks:
                image_BP[i] = blocks(draws, patches, count)
            else:
                image_BP[i, draws.permutation(places)[:count]] = True
    return Masks(np.take_along_axis(chosen_BU, units_BL, 1), image_BP, mode_B)


def draw_modality_dropout(
    dropout: ModalityDropout, seed: int, epoch: Epoch, rows_B: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(keep text, keep image), each (B,): a listing loses its text, or its image, or neither (paper, MDO)."""
    u_B = uniforms(seed, MODALITY, epoch, rows_B, 1)[:, 0]
    return u_B >= dropout.text, (u_B < dropout.text) | (u_B >= dropout.text + dropout.image)


def shares(masking: Masking, mode: int) -> tuple[float, float]:
    """The share of a text's units that a mode hides, and of a picture's."""
    if isinstance(masking, Mam):
        by_mode = (0.0, masking.heavy_image), (masking.heavy_text, 0.0), (masking.light_text, masking.light_image)
        return by_mode[mode]
    return (masking.text, masking.image) if isinstance(masking, Uniform) else (0.0, 0.0)


def _mode(masking: Masking, u: float) -> int:
    """The mode of a listing with both modalities, for a draw `u` in [0, 1)."""
    if not isinstance(masking, Mam):
        return LIGHT
    heavy_image, heavy_text, _ = masking.modes
    return HEAVY_IMAGE if u < heavy_image else HEAVY_TEXT if u < heavy_image + heavy_text else LIGHT
