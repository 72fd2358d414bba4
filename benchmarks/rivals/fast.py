"""The decode that the fast rivals share: libjpeg-turbo scaled while it decodes, OpenCV's linear resize, one colour map.

Nothing is antialiased beyond the scaled decode: that is faster than what mlim does, and blurs less well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from torch.utils.data import Dataset, Sampler

SIDE = 224
GREY = np.array([0.114, 0.587, 0.299])  # of B, G, R
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


class Folder(Dataset[Any]):
    """The files of a folder, each as `load` makes it."""

    def __init__(self, folder: Path, load: Callable[[str], Any]) -> None:
        self._paths = sorted(map(str, folder.glob("*.jpg")))
        self._load = load

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, i: int) -> Any:
        return self._load(self._paths[i])


class Forever(Sampler[int]):
    """One shuffled pass after another."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self._count).tolist()


def start_worker(worker: int) -> None:
    cv2.setNumThreads(0)
    random.seed(worker)


def collate(pictures: Sequence[bytes]) -> torch.Tensor:
    """Encoded pictures -> (B, 3, SIDE, SIDE), in the shared memory of DataLoader where this is a worker of it.

    Rows of RGB triples stay as they are (torch's channels_last): a trainer takes those as they are.
    """
    shape = (len(pictures), SIDE, SIDE, 3)
    storage = torch.UntypedStorage._new_shared(int(np.prod(shape)))  # as torch's own default_collate does
    batch = torch.empty(0, dtype=torch.uint8).set_(storage, 0, shape)
    pixels = batch.numpy()
    for i, data in enumerate(pictures):
        augmented(data, pixels[i])
    return batch.permute(0, 3, 1, 2)


def augmented(data: bytes, out: np.ndarray) -> None:
    image = decoded(data)
    height, width = image.shape[:2]
    x, y, w, h = crop(width, height)
    cut = cv2.resize(
        image[y : y + h, x : x + w], (SIDE, SIDE), buffer("cut", SIDE, SIDE), interpolation=cv2.INTER_LINEAR
    )
    if random.random() < 0.5:
        cut = cv2.flip(cut, 1, buffer("flipped", SIDE, SIDE))
    cv2.transform(cut, colours(cut), out)


def decoded(data: bytes) -> np.ndarray:
    """BGR, reduced as far as the shorter side stays above SIDE."""
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    factor = 4 if min(width, height) >= 4 * SIDE else 2 if min(width, height) >= 2 * SIDE else 1
    if factor > 1:  # simplejpeg would take a factor whose transform isn't vectorized
        return cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[factor])
    return simplejpeg.decode_jpeg(data, "BGR", fastdct=True, fastupsample=True, buffer=buffer("full", height, width))


def crop(width: int, height: int) -> tuple[int, int, int, int]:
    """x, y, width, height: area uniform in 0.6 to 1, ratio log-uniform in 3/4 to 4/3, as mlim and torchvision draw."""
    area = width * height * random.uniform(0.6, 1)
    ratio = (4 / 3) ** random.uniform(-1, 1)
    w, h = min(width, round((area * ratio) ** 0.5)), min(height, round((area / ratio) ** 0.5))
    return random.randint(0, width - w), random.randint(0, height - h), w, h


def colours(image: np.ndarray) -> np.ndarray:
    """Brightness, contrast and saturation as one map of BGR to RGB, (3, 4)."""
    b, c, s = (random.uniform(0.9, 1.1) for _ in range(3))
    mean = float(np.dot(GREY, cv2.mean(image)[:3]))
    matrix = b * c * (s * np.eye(3) + (1 - s) * GREY)
    return np.column_stack([matrix, np.full(3, (1 - c) * b * mean)])[::-1]


@lru_cache(maxsize=64)
def buffer(use: str, height: int, width: int) -> np.ndarray:
    """Memory that is used again: fresh memory costs as much as what is written there."""
    return np.empty((height, width, 3), np.uint8)
