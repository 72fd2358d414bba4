"""Bytes + augmentation parameters -> pixels, on the CPU: the reference that other decoders are held against."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workbench.images.augment import Augmentation
from workbench.images.shard import Shards

MEMORY = 512 * 2**20  # bytes of decoded pictures kept, so that a small catalog is decoded once and not each epoch
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # weights of R, G, B in a pixel's grey (ITU-R BT.601)


class Decoder:
    """Decodes rows of a shard artifact to a given side, in threads (0: all cores)."""

    def __init__(self, shards: Shards, side: int, threads: int = 0) -> None:
        self._shards = shards
        self._side = side
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads)
        self._decoded: dict[int, Image.Image] = {}
        self._room = MEMORY // (4 * shards.side**2)  # pictures; Pillow holds 4 bytes a pixel

    def decode(self, rows: NDArray[np.integer], augmentation: Augmentation) -> NDArray[np.uint8]:
        """Crop, resize (bicubic, antialiased), flip, then colours: (B, 3, side, side); no usable picture: zeros."""
        pixels_BCHW = np.zeros((len(rows), 3, self._side, self._side), np.uint8)

        def fill(part: NDArray[np.integer]) -> None:
            for i in part:
                if self._shards.usable[rows[i]]:
                    image = self._placed(int(rows[i]), augmentation.crop[i])
                    seen = np.asarray(image)[:, ::-1] if augmentation.flip[i] else np.asarray(image)
                    pixels_BCHW[i] = seen.transpose(2, 0, 1)

        parts = np.array_split(np.arange(len(rows)), min(self._threads, max(1, len(rows) // 4)))
        for _ in self._pool.map(fill, parts):
            pass
        return colour(pixels_BCHW, augmentation)

    def _placed(self, row: int, crop: NDArray[np.float32]) -> Image.Image:
        image = self._image(row)
        if image.width == self._side and np.array_equal(crop, (0, 0, 1, 1)):
            return image
        x0, y0, x1, y1 = np.clip(crop.astype(np.float64) * image.width, 0, image.width).tolist()
        return image.resize((self._side, self._side), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))

    def _image(self, row: int) -> Image.Image:
        image = self._decoded.get(row)
        if image is None:
            image = Image.open(io.BytesIO(self._shards.bytes(row)))
            image.load()
            if len(self._decoded) < self._room:
                self._decoded[row] = image
        return image


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
