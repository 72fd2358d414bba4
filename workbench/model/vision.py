"""Pictures into image tokens and back.

The embedder is the paper's shallow CNN: 2x2 convolutions of stride 2, so that each pixel reaches exactly one image
token and a masked token hides its pixels wholly. The decoder redraws the whole picture from the transformer's outputs.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Channels after each halving of the side, for patches of 2, 4, ... 64 pixels (embedder, first to last).
_EMBEDDER = (16, 32, 64, 96, 112, 128)


class PositionNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position of a (B, C, H, W) map: nothing mixes across positions."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def fit_positions(positions_PD: Tensor, grid: int) -> Tensor:
    """Position embeddings of one square grid for another, (grid ** 2, D), interpolated bicubically (paper).

    Those of the same grid as they are; gradients reach the embeddings through either.
    """
    side = math.isqrt(len(positions_PD))
    if side == grid:
        return positions_PD
    # As products with a matrix, one direction after the other: bicubic has no deterministic gradient on a GPU.
    eye_11KK = torch.eye(side, device=positions_PD.device)[None, None]
    onto_GK = F.interpolate(eye_11KK, size=(grid, side), mode="bicubic", align_corners=False)[0, 0]
    with torch.autocast(positions_PD.device.type, enabled=False):
        fitted_GGD = torch.einsum("gk,hl,kld->ghd", onto_GK, onto_GK, positions_PD.reshape(side, side, -1))
    return fitted_GGD.flatten(0, 1)


class ImageEmbedder(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, P, D), P = (H / patch) * (W / patch).

    log2(patch) convolutions 2x2/2, then two 1x1 convolutions up to the transformer's width; about 200K parameters
    at patch 32 and width 1024 (paper, image embedder; channels are our reading).
    """

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        halvings = int(math.log2(patch))
        # Small patches start wider: with few halvings nothing may be lost before the 1x1 convolutions.
        wider = 2 ** (6 - halvings) if halvings < 5 else 1
        channels = [min(wider * c, 4 * width) for c in _EMBEDDER[:halvings]]
        layers: list[nn.Module] = []
        last = 3
        for c in channels:
            layers += [nn.Conv2d(last, c, 2, stride=2), PositionNorm(c), nn.GELU()]
            last = c
        layers += [nn.Conv2d(last, last, 1), PositionNorm(last), nn.GELU(), nn.Conv2d(last, width, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        if pixels_BCHW.shape[1] != 3:
            raise ValueError(f"expected 3 colour channels, found {pixels_BCHW.shape[1]}")
        features_BDGG: Tensor = self.layers(pixels_BCHW)
        return features_BDGG.flatten(2).transpose(1, 2)


class ImageDecoder(nn.Module):
    """(B, P, D) -> (B, 3, H, W) in float32, of any square grid; a sigmoid makes pixels of it.

    The image tokens, back on their grid, through log2(patch) transposed convolutions 2x2/2, each followed by a 3x3
    convolution. 10 layers and about 2.8M parameters at patch 32 and width 1024 (paper).
    """

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        halvings = int(math.log2(patch))
        top = 320 if width >= 768 else width // 2
        channels = [max(top // 2**i, 16) for i in range(halvings)]
        layers: list[nn.Module] = []
        last = width
        for i, c in enumerate(channels):
            final = i == halvings - 1
            layers += [nn.ConvTranspose2d(last, c, 2, stride=2), nn.GELU()]
            layers += [nn.Conv2d(c, 3 if final else c, 3, padding=1)] + ([] if final else [nn.GELU()])
            last = c
        self.layers = nn.Sequential(*layers)

    def forward(self, image_BPD: Tensor) -> Tensor:
        grid = math.isqrt(image_BPD.shape[1])
        map_BDGG = image_BPD.transpose(1, 2).reshape(*image_BPD.shape[::2], grid, grid)
        drawn_BCHW: Tensor = self.layers(map_BDGG).float()
        return drawn_BCHW
