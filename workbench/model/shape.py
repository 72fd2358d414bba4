"""Channels, parameters and operations of a network, counted by formula. No torch here: a plan needs them, too.

Operations are FLOPs: two for each multiplication with its addition, as is customary; norms, activations and the like
are not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

# Patch -> channels of the paper's embedder after each halving of the side. Small patches start wider, so that little is
# lost before the 1x1 convolutions; without the last of these, up to the width, none has more than 200K parameters.
CNN = {
    2: (64,),
    4: (48, 128),
    8: (48, 96, 192),
    16: (32, 64, 128, 192),
    32: (16, 32, 64, 96, 112),
    64: (16, 32, 64, 96, 112, 128),
}
_RESNET = (32, 64, 128, 256, 256, 256)


def resnet_channels(patch: int) -> tuple[int, ...]:
    """After the first convolution and after each block: one at least."""
    return _RESNET[: max(int(math.log2(patch)), 2)]


def decoder_channels(patch: int, width: int) -> list[int]:
    """Of the picture decoder, after each doubling of the side; the last becomes three colours."""
    return [max(5 * width // 16 // 2**i, 16) for i in range(int(math.log2(patch)))]


@dataclass(frozen=True)
class Matrix:
    """A convolution or a linear layer at `places` positions of a picture (or of a token)."""

    inputs: int  # numbers that each output is computed of
    outputs: int
    places: int
    offsets: int  # biases, and gains and biases of the norm behind it

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + self.offsets

    @property
    def flops(self) -> int:
        return 2 * self.inputs * self.outputs * self.places


@dataclass(frozen=True)
class Network:
    """All that parameters and operations go by."""

    width: int
    layers: int
    vocabulary: int
    text_positions: int
    image_side: int
    patch: int
    embedder: str = "cnn"

    @property
    def parameters(self) -> int:
        """Of `model.mlim.Mlim` at this shape; heads of objectives and tasks come on top."""
        width = self.width
        embeddings = (self.vocabulary + self.text_positions + self.patches()) * width + 2 * width
        language_head = width * width + 3 * width + self.vocabulary
        pictures = sum(m.parameters for m in (*self.embedding(), *self.decoding()))
        return embeddings + self.layers * self.layer_parameters + language_head + pictures

    @property
    def layer_parameters(self) -> int:
        return 12 * self.width**2 + 13 * self.width

    def patches(self, side: int | None = None) -> int:
        return ((side or self.image_side) // self.patch) ** 2

    def layers_flops(self, tokens: float, length: float) -> float:
        """Of the encoder's layers for so many tokens, each of which attends to `length`."""
        return self.layers * tokens * (24 * self.width**2 + 4 * self.width * length)

    def head_flops(self, words: float) -> float:
        """Of the language head for so many masked words."""
        return words * 2 * (self.width**2 + self.width * self.vocabulary)

    def embedder_flops(self, patches: float) -> float:
        """Of so many patches that are seen; the ResNet reads the masked ones, too."""
        return patches * sum(m.flops for m in self.embedding())

    def decoder_flops(self, patches: float) -> float:
        """Of pictures of so many patches, redrawn whole."""
        return patches * sum(m.flops for m in self.decoding())

    def embedding(self) -> list[Matrix]:
        """The layers of the image embedder; places are those of a patch."""
        return {"cnn": self._cnn, "patches": self._one_matrix, "resnet": self._resnet}[self.embedder]()

    def decoding(self) -> list[Matrix]:
        """The layers of the picture decoder, likewise."""
        channels = decoder_channels(self.patch, self.width)
        found, last = [], self.width
        for i, c in enumerate(channels):
            out = 3 if i == len(channels) - 1 else c
            found += [Matrix(last, 4 * c, 4**i, c), Matrix(9 * c, out, 4 ** (i + 1), out)]
            last = c
        return found

    def _one_matrix(self) -> list[Matrix]:
        return [Matrix(3 * self.patch**2, self.width, 1, self.width)]

    def _cnn(self) -> list[Matrix]:
        channels = (3, *CNN[self.patch])
        halvings = [
            Matrix(4 * before, c, (self.patch >> i) ** 2, 3 * c) for i, (before, c) in enumerate(pairwise(channels), 1)
        ]
        last = channels[-1]
        return [*halvings, Matrix(last, last, 1, 3 * last), Matrix(last, self.width, 1, self.width)]

    def _resnet(self) -> list[Matrix]:
        channels = resnet_channels(self.patch)
        side, left = self.patch // 2, int(math.log2(self.patch)) - 1
        found = [Matrix(27, channels[0], side**2, 2 * channels[0])]
        for before, c in pairwise(channels):
            side, left = (side // 2, left - 1) if left else (side, left)
            found += [Matrix(9 * before, c, side**2, 2 * c), Matrix(9 * c, c, side**2, 2 * c)]
            found.append(Matrix(before, c, side**2, 2 * c))
        return [*found, Matrix(channels[-1], self.width, 1, self.width)]
