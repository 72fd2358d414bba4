"""Pictures into image tokens and back.

An embedder makes one token of each patch, such that a masked token hides its pixels wholly: the paper's CNN and ViLT's
matrix read nothing but the patch; the ResNet reads beyond it, so that what is masked has to be blanked before it. The
decoder redraws the whole picture from the transformer's outputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.model.shape import CNN, decoder_channels, resnet_channels


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


def pixels_of(patches_BP: Tensor, pixels_BCHW: Tensor) -> Tensor:
    """(B, 1, H, W): what holds for each patch, for its pixels, in pictures of this size."""
    grid = math.isqrt(patches_BP.shape[1])
    patch = pixels_BCHW.shape[-1] // grid
    return patches_BP.view(-1, 1, grid, grid).repeat_interleave(patch, 2).repeat_interleave(patch, 3)


def cut(pixels_BCHW: Tensor, patch: int) -> Tensor:
    """(B, P, C, patch, patch): the patches of pictures."""
    size, channels, height, width = pixels_BCHW.shape
    grid = pixels_BCHW.view(size, channels, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


class ImageEmbedder(nn.Module, ABC):
    """(B, 3, H, W) in [0, 1], (B, P) masked -> (B, P, D), P = (H / patch) * (W / patch), of each patch alone.

    Masked ones may be left out; their tokens are then 0.
    """

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, pixels_BCHW: Tensor, masked_BP: Tensor) -> Tensor:
        _check_colours(pixels_BCHW)
        patches_BPCpp = cut(pixels_BCHW, self.patch)
        if pixels_BCHW.is_cuda or torch.compiler.is_compiling():  # where to know how many are masked costs a wait
            return self.tokens(patches_BPCpp.flatten(0, 1)).view(*masked_BP.shape, -1)
        tokens_MD = self.tokens(patches_BPCpp[~masked_BP])
        return tokens_MD.new_zeros(*masked_BP.shape, tokens_MD.shape[1]).masked_scatter(
            ~masked_BP[:, :, None], tokens_MD
        )

    @abstractmethod
    def tokens(self, patches_MCpp: Tensor) -> Tensor:
        """(M, D): the token of each patch."""


class CnnEmbedder(ImageEmbedder):
    """log2(patch) convolutions 2x2/2, then two 1x1 convolutions up to the transformer's width; 7 layers and about 200K
    parameters at patch 32 and width 1024 (paper, image embedder; channels are our reading).

    Its convolutions are computed as matrices on pixels laid out such that each four which they join are neighbours.
    """

    def __init__(self, patch: int, width: int) -> None:
        super().__init__(patch)
        layers: list[nn.Module] = []
        last = 3
        for c in CNN[patch]:
            layers += [nn.Conv2d(last, c, 2, stride=2), PositionNorm(c), nn.GELU()]
            last = c
        layers += [nn.Conv2d(last, last, 1), PositionNorm(last), nn.GELU(), nn.Conv2d(last, width, 1)]
        self.layers: nn.Sequential = nn.Sequential(*layers)
        self.order_K: Tensor
        self.register_buffer("order_K", _fours(patch), persistent=False)

    def tokens(self, patches_MCpp: Tensor) -> Tensor:
        x = patches_MCpp.flatten(2)[:, :, self.order_K].transpose(1, 2)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                weight = layer.weight.permute(0, 2, 3, 1).flatten(1)
                x = F.linear(x.reshape(-1, weight.shape[1]), weight, layer.bias)
            elif isinstance(layer, PositionNorm):
                x = F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)
            else:
                x = layer(x)
        return x


def _fours(patch: int) -> Tensor:
    """(patch ** 2,) places of the pixels of a patch: its four quarters after each other, and so on within these."""
    halves = [2] * int(math.log2(patch))
    places = torch.arange(patch**2).view(*halves, *halves)
    return places.permute([i + half for i in range(len(halves)) for half in (0, len(halves))]).flatten()


class PatchEmbedder(ImageEmbedder):
    """One matrix on a patch's pixels (Kim et al. 2021, ViLT, section 3)."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__(patch)
        self.layers: nn.Conv2d = nn.Conv2d(3, width, patch, stride=patch)

    def tokens(self, patches_MCpp: Tensor) -> Tensor:
        return F.linear(patches_MCpp.flatten(1), self.layers.weight.flatten(1), self.layers.bias)


class ResNetEmbedder(nn.Module):
    """The same of pixels beyond the patch, too: masked ones are blanked first.

    A convolution 3x3/2, ResNet-18's blocks, each of stride 2 until the grid is reached, and a 1x1 convolution.

    GroupNorm in place of BatchNorm, since a listing must not depend on others in its batch (Wu & He 2018).
    """

    def __init__(self, patch: int, width: int) -> None:
        from torchvision.models.resnet import BasicBlock  # here: a second, which other embedders don't pay

        super().__init__()
        self.patch = patch
        halvings = int(math.log2(patch))
        channels = resnet_channels(patch)
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 3, stride=2, padding=1, bias=False)]
        layers += [_group_norm(channels[0]), nn.ReLU()]
        for before, after in pairwise(channels):
            stride = 2 if halvings > 1 else 1
            shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), _group_norm(after))
            layers.append(BasicBlock(before, after, stride, shortcut, norm_layer=_group_norm))
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], width, 1))

    def forward(self, pixels_BCHW: Tensor, masked_BP: Tensor) -> Tensor:
        _check_colours(pixels_BCHW)
        # 0 is what the convolutions see beyond the picture's edges, too.
        features_BDGG: Tensor = self.layers(pixels_BCHW.masked_fill(pixels_of(masked_BP, pixels_BCHW), 0))
        return features_BDGG.flatten(2).transpose(1, 2)


def _check_colours(pixels_BCHW: Tensor) -> None:
    if pixels_BCHW.shape[1] != 3:
        raise ValueError(f"expected 3 colour channels, found {pixels_BCHW.shape[1]}")


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // 16, channels)


EMBEDDERS = {"cnn": CnnEmbedder, "patches": PatchEmbedder, "resnet": ResNetEmbedder}


class ImageDecoder(nn.Module):
    """(B, P, D) -> (B, 3, H, W) in float32, of any square grid; a sigmoid makes pixels of it.

    The image tokens, back on their grid, through log2(patch) transposed convolutions 2x2/2, each followed by a 3x3
    convolution. 10 layers and about 2.8M parameters at patch 32 and width 1024 (paper); channels go with the width.
    """

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        halvings = int(math.log2(patch))
        channels = decoder_channels(patch, width)
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
        x_BGGD = image_BPD.reshape(len(image_BPD), grid, grid, -1)
        for layer in self.layers:
            if isinstance(layer, nn.ConvTranspose2d):
                x_BGGD = _doubled(x_BGGD, layer)
            else:  # channels last in memory, as the convolutions like it
                x_BGGD = layer(x_BGGD.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x_BGGD.permute(0, 3, 1, 2).float()


def _doubled(x_BGGD: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """A transposed convolution 2x2/2 of maps with their channels last, as a matrix on each position."""
    weight, bias = layer.weight.permute(2, 3, 1, 0).flatten(0, 2), layer.bias
    assert bias is not None
    size, grid = x_BGGD.shape[:2]
    fours = F.linear(x_BGGD, weight, bias.repeat(4)).view(size, grid, grid, 2, 2, -1)
    return fours.transpose(2, 3).reshape(size, 2 * grid, 2 * grid, -1)
