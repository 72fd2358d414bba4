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


class Decoder:
    """Decodes rows of a shard artifact to a given side, in threads (0: all cores)."""

    def __init__(self, shards: Shards, side: int, threads: int = 0) -> None:
        self.usable = shards.usable  # (N,) bool
        self.counts = shards.counts  # (N,) usable pictures
        self._shards = shards
        self._side = side
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads)
        self._decoded: dict[tuple[int, int], Image.Image] = {}
        self._room = MEMORY // (4 * shards.side**2)  # pictures; Pillow holds 4 bytes a pixel

    def decode(
        self, rows: NDArray[np.integer], augmentation: Augmentation, picks: NDArray[np.integer] | None = None
    ) -> NDArray[np.uint8]:
        """Crop, resize (bicubic, antialiased) and flip: (B, 3, side, side), zeros where there is no usable picture.

        `picks` (B,) says which of a row's usable pictures; without it the first. Colours are left to `augment.colour`,
        which takes the whole batch.
        """
        pixels_BCHW = np.zeros((len(rows), 3, self._side, self._side), np.uint8)

        def fill(part: NDArray[np.integer]) -> None:
            for i in part:
                if self.usable[rows[i]]:
                    image = self._placed(int(rows[i]), int(picks[i]) if picks is not None else 0, augmentation.crop[i])
                    seen = np.asarray(image)[:, ::-1] if augmentation.flip[i] else np.asarray(image)
                    pixels_BCHW[i] = seen.transpose(2, 0, 1)

        parts = np.array_split(np.arange(len(rows)), min(self._threads, max(1, len(rows) // 4)))
        for _ in self._pool.map(fill, parts):
            pass
        return pixels_BCHW

    def _placed(self, row: int, k: int, crop: NDArray[np.float32]) -> Image.Image:
        image = self._image(row, k)
        if image.width == self._side and np.array_equal(crop, (0, 0, 1, 1)):
            return image
        x0, y0, x1, y1 = np.clip(crop.astype(np.float64) * image.width, 0, image.width).tolist()
        return image.resize((self._side, self._side), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))

    def _image(self, row: int, k: int) -> Image.Image:
        image = self._decoded.get((row, k))
        if image is None:
            image = Image.open(io.BytesIO(self._shards.bytes(row, k)))
            image.load()
            if len(self._decoded) < self._room:
                self._decoded[row, k] = image
        return image
