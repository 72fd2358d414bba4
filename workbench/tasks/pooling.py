"""What the heads read of a listing: the encoder's means, the words as they are, the picture as it looks."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.batch import Batch
from workbench.model.mlim import Mlim
from workbench.tasks.network import mean_of_tokens

ALL, TEXT, PICTURE = range(3)  # of `means_of`
WORDS, PIXELS = 512, 256  # numbers for the words and for the looks of a listing


def pooled(network: Mlim, batch: Batch) -> Tensor:
    """(B, 3D + WORDS + PIXELS) in float32, side by side: `means_of` the encoder's outputs; which words a listing has;
    how its picture looks. What isn't there is zeros."""
    text_BLD, image_BPD = network.encode(batch)
    has_text_B = batch.text_real_BL.sum(1) > 2  # more than [CLS] and [SEP]
    alone = replace(batch, has_image_B=torch.zeros_like(batch.has_image_B))
    means_BD = (
        mean_of_tokens(batch, text_BLD, image_BPD),
        mean_of_tokens(alone, text_BLD, image_BPD) * has_text_B[:, None],
        image_BPD.float().mean(1) * batch.has_image_B[:, None],
    )
    return torch.cat([*means_BD, words_of(batch), pixels_of(batch)], 1)


def means_of(pooled_BX: Tensor) -> Tensor:
    """(B, 3, D): the means over all that is there of a listing, over its text, over its picture."""
    return pooled_BX[:, : -(WORDS + PIXELS)].reshape(pooled_BX.shape[0], 3, -1)


def words_of(batch: Batch) -> Tensor:
    """(B, WORDS) 1 for each word that a listing has; several words share a number."""
    ids_BL, real_BL = batch.shown_BL[:, 1:], batch.text_real_BL
    counted_BL = F.pad(real_BL[:, 2:], (0, 1)).float()  # not [CLS]; nor [SEP], which is the last one
    none_BW = counted_BL.new_zeros(ids_BL.shape[0], WORDS)
    return none_BW.scatter_add(1, numbers_of(ids_BL), counted_BL).clamp(max=1)


def numbers_of(ids: Tensor) -> Tensor:
    """Below WORDS, spread evenly (Knuth's multiplicative hash)."""
    return ids * 2654435761 % 2**32 % WORDS


def pixels_of(batch: Batch) -> Tensor:
    """(B, PIXELS) a thumbnail of 8 x 8 around its mean and a histogram of 4 x 4 x 4 colours, each of length 1."""
    pixels_BCHW = batch.pixels_BCHW.float()
    area_8H = cells_of(pixels_BCHW)
    thumb_BE = (area_8H @ pixels_BCHW @ area_8H.T).flatten(1)
    red, green, blue = (pixels_BCHW // 64).long().flatten(2).unbind(1)
    colours_BE = torch.zeros(thumb_BE.shape[0], 64, device=thumb_BE.device)
    colours_BE = colours_BE.scatter_add(1, red * 16 + green * 4 + blue, torch.ones_like(red, dtype=torch.float32))
    halves = (thumb_BE - thumb_BE.mean(1, keepdim=True), colours_BE.sqrt())
    looks_BE = torch.cat([F.normalize(half, dim=1) for half in halves], 1)
    return looks_BE * batch.has_image_B[:, None]


def cells_of(pixels_BCHW: Tensor) -> Tensor:
    """(8, H) what of a mean over each eighth of a side each pixel is; pictures are square."""
    cells_8H = torch.arange(pixels_BCHW.shape[-1], device=pixels_BCHW.device)[None] * 8 // pixels_BCHW.shape[-1]
    area_8H = (cells_8H == torch.arange(8, device=cells_8H.device)[:, None]).float()
    return area_8H / area_8H.sum(1, keepdim=True).clamp(min=1)
