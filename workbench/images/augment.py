"""Augmentation parameters as plain data: a pure function of (seed, epoch, row), applied by whichever decoder runs;
which of its pictures a listing shows, likewise; and the colours among them, which are applied to a decoded batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.draws import AUGMENT, PICTURE, stream
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


def identity(n: int) -> Augmentation:
    """Nothing is changed: for evaluation."""
    one = np.ones(n, np.float32)
    return Augmentation(np.tile(np.array([0, 0, 1, 1], np.float32), (n, 1)), np.zeros(n, np.bool_), one, one, one)


def draw(augment: Augment, seed: int, epoch: int, rows: NDArray[np.integer]) -> Augmentation:
    """The augmentation of each of `rows` (B,) in an epoch.

    The crop's area is uniform in `crop_area`, its width:height log-uniform in [1 / crop_ratio, crop_ratio]; a side
    longer than the picture is clipped to it; its place is uniform.
    """
    u = np.array([stream(seed, AUGMENT, epoch, int(row)).random(8) for row in rows]).reshape(-1, 8)
    low, high = augment.crop_area
    area = low + (high - low) * u[:, 0]
    ratio = augment.crop_ratio ** (2 * u[:, 1] - 1)
    size = np.minimum(1, np.sqrt(np.stack([area * ratio, area / ratio], axis=1)))
    corner = u[:, 2:4] * (1 - size)
    strengths = (augment.brightness, augment.contrast, augment.saturation)
    factors = 1 + np.array(strengths) * (2 * u[:, 5:8] - 1)
    crop = np.concatenate([corner, corner + size], axis=1)
    return Augmentation(crop.astype(np.float32), u[:, 4] < augment.flip, *factors.T.astype(np.float32))


def draw_pictures(seed: int, epoch: int, rows: NDArray[np.integer], counts: NDArray[np.integer]) -> NDArray[np.integer]:
    """Which of a listing's `counts` (B,) usable pictures is seen in an epoch: each as often as another."""
    picks = np.zeros(len(rows), np.int64)
    for i in np.flatnonzero(counts > 1):
        picks[i] = stream(seed, PICTURE, epoch, int(rows[i])).integers(counts[i])
    return picks


def colour(pixels_BCHW: NDArray[np.uint8], augmentation: Augmentation) -> NDArray[np.uint8]:
    """Brightness b, then contrast c (towards the picture's mean grey m), then saturation s (towards each pixel's grey).

    The three are one affine map of each pixel x, `b c (s x + (1 - s) grey(x)) + (1 - c) b m`, rounded and clipped
    once: where a step alone would leave 0..255, this keeps what clipping after every step loses.
    """
    b, c, s = (
        f[:, None, None, None] for f in (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    )
    if all((factor == 1).all() for factor in (b, c, s)):
        return pixels_BCHW
    x = pixels_BCHW.astype(np.float32)
    grey = np.einsum("c,bchw->bhw", GREY, x)[:, None]
    out = (b * c * s) * x
    out += (b * c * (1 - s)) * grey + (1 - c) * b * grey.mean(axis=(2, 3), keepdims=True)
    return np.clip(np.rint(out, out=out), 0, 255, out=out).astype(np.uint8)
