"""Augmentation parameters as plain data: a pure function of (seed, epoch, row), applied by whichever decoder runs;
which of its pictures a listing shows, likewise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.draws import AUGMENT, PICTURE, Epoch, streams, uniforms
from workbench.recipe.schema import Augment

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # weights of R, G, B in a pixel's grey (ITU-R BT.601)


@dataclass(frozen=True)
class Augmentation:
    """What is done to each picture of a batch."""

    crop: NDArray[np.float32]  # (B, 4) x0, y0, x1, y1 as shares of the side
    flip: NDArray[np.bool_]  # (B,) left for right
    brightness: NDArray[np.float32]  # (B,) factors; 1 changes nothing
    contrast: NDArray[np.float32]
    saturation: NDArray[np.float32]

    @cached_property
    def keeps_colours(self) -> NDArray[np.bool_]:
        """(B,) whether all three factors are 1."""
        kept: NDArray[np.bool_] = (self.brightness == 1) & (self.contrast == 1) & (self.saturation == 1)
        return kept


def identity(n: int) -> Augmentation:
    """Nothing is changed: for evaluation."""
    one = np.ones(n, np.float32)
    return Augmentation(np.tile(np.array([0, 0, 1, 1], np.float32), (n, 1)), np.zeros(n, np.bool_), one, one, one)


def draw(augment: Augment, seed: int, epoch: Epoch, rows: NDArray[np.integer]) -> Augmentation:
    """The augmentation of each of `rows` (B,) in an epoch.

    The crop's area is uniform in `crop_area`, its width:height log-uniform in [1 / crop_ratio, crop_ratio]; a side
    longer than the picture is clipped to it; its place is uniform.
    """
    u = uniforms(seed, AUGMENT, epoch, rows, 8)
    low, high = augment.crop_area
    area = low + (high - low) * u[:, 0]
    ratio = augment.crop_ratio ** (2 * u[:, 1] - 1)
    size = np.minimum(1, np.sqrt(np.stack([area * ratio, area / ratio], axis=1)))
    corner = u[:, 2:4] * (1 - size)
    strengths = (augment.brightness, augment.contrast, augment.saturation)
    factors = 1 + np.array(strengths) * (2 * u[:, 5:8] - 1)
    crop = np.concatenate([corner, corner + size], axis=1)
    return Augmentation(crop.astype(np.float32), u[:, 4] < augment.flip, *factors.T.astype(np.float32))


def draw_pictures(
    seed: int, epoch: Epoch, rows: NDArray[np.integer], counts: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Which of a listing's `counts` (B,) usable pictures is seen in an epoch: each as often as another."""
    picks = np.zeros(len(rows), np.int64)
    several = np.flatnonzero(counts > 1)
    epochs = np.broadcast_to(epoch, len(rows))[several]
    for i, draws in zip(several, streams(seed, PICTURE, epochs, rows[several]), strict=True):
        picks[i] = draws.integers(counts[i])
    return picks


def boxes(crop: NDArray[np.float32], sides: NDArray[np.integer]) -> NDArray[np.int64]:
    """(B, 4) x0, y0, x1, y1 in whole pixels of stored squares of these sides (B,); at least one pixel each way."""
    side = sides[:, None].astype(np.int64)
    corners = np.rint(crop.astype(np.float64) * side).astype(np.int64)
    first = np.clip(corners[:, :2], 0, side - 1)
    return np.hstack([first, np.clip(corners[:, 2:], first + 1, side)])


def colour_maps(augmentation: Augmentation) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(B, 3, 4) and (B,): each picture's change of colours as one affine map of its pixels, but for the constant.

    Brightness b, then contrast c (towards the picture's mean grey m), then saturation s (towards each pixel's grey) are
    `b c (s x + (1 - s) grey(x)) + (1 - c) b m`, rounded and clipped once: where a step alone would leave 0..255, this
    keeps what clipping after every step loses. The map's last column is 0 here and has to be the second array, which is
    (1 - c) b, times m, which is known once the picture is cropped and resized.
    """
    b, c, s = (f[:, None, None] for f in (augmentation.brightness, augmentation.contrast, augmentation.saturation))
    linear = b * c * (s * np.eye(3, dtype=np.float32) + (1 - s) * GREY)
    maps = np.concatenate([linear, np.zeros_like(linear[:, :, :1])], axis=2)
    return maps, ((1 - c) * b)[:, 0, 0]
