"""Bytes + augmentation parameters -> pixels, on the CPU: the reference that other decoders are held against.

Threads of one process share the work; every library called here lets go of the GIL. Each thread decodes, resizes and
colours in memory of its own that it uses again for every picture: fresh memory of this size costs as much as decoding,
since the kernel maps and clears it page by page.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from weakref import finalize

import cv2
import numpy as np
from imagecodecs import png_decode
from numpy.typing import NDArray
from simplejpeg import decode_jpeg

from workbench.images.augment import GREY, Augmentation, boxes, colour_maps
from workbench.images.shard import Stored

Array = NDArray[np.uint8]
LINEAR = 1.2  # times smaller: so far linear interpolation is as close to an antialiased filter (median 42 dB) as two of
# these are to each other, and 6 times as fast as averaging areas
RED, GREEN, BLUE = GREY.tolist()
CODECS: dict[str, Callable[[Any, Array], Array]] = {  # bytes, and the memory to decode into
    "jpeg": lambda data, out: decode_jpeg(data, "RGB", buffer=out),
    "png": lambda data, out: png_decode(data, out=out),
}


class CpuDecoder:
    """Decodes rows of a shard artifact to a given side, in threads (0: all cores); see decoder.py."""

    def __init__(
        self,
        shards: Stored,
        side: int,
        threads: int = 0,
        decoded: int = 0,
        memory: Callable[[tuple[int, ...]], Array] | None = None,
    ) -> None:
        """`decoded`: bytes of decoded pictures that are kept; `memory` gives that of a batch, uninitialised (pinned,
        where there is a GPU)."""
        cv2.setNumThreads(1)  # its own threads and ours would wait for each other
        self.usable, self.counts, self.side = shards.usable, shards.counts, side
        self._shards = shards
        self._threads = threads or len(os.sched_getaffinity(0))
        self.name = f"cpu, {self._threads} thread{'s' if self._threads > 1 else ''}"
        self._pool = ThreadPoolExecutor(self._threads, "decode")
        self._memory = memory or Buffers()
        self._own = threading.local()  # scratch of a thread, by what it is for
        self._kept: dict[tuple[int, int], Array] = {}
        self._room = decoded  # bytes

    def start(
        self,
        rows: NDArray[np.integer],
        augmentation: Augmentation,
        picks: NDArray[np.integer] | None = None,
        side: int | None = None,
    ) -> Callable[[], Array]:
        """(B, 3, side, side) when called; see `Decoder.start`."""
        side = side or self.side
        pixels_BCHW = self._memory((len(rows), 3, side, side))
        usable = self.usable[rows]
        pixels_BCHW[~usable] = 0
        picked = np.zeros(len(rows), np.int64) if picks is None else picks
        stored = self._shards.sides(rows, picked)
        crops = boxes(augmentation.crop, stored).tolist()
        maps, pulls = colour_maps(augmentation)
        which = list(zip(rows.tolist(), picked.tolist(), stored.tolist(), strict=True))
        flips, keeps, towards = augmentation.flip.tolist(), augmentation.keeps_colours.tolist(), pulls.tolist()
        todo = iter(np.flatnonzero(usable).tolist())  # that the threads share: each takes the next

        def work() -> None:  # as few calls a picture as can be: after each a thread waits for the GIL again
            image: Any
            resized, coloured = self._scratch("resized", side), self._scratch("coloured", side)
            for i in todo:
                x0, y0, x1, y1 = crops[i]
                image = _fitted(self._image(*which[i])[y0:y1, x0:x1], side, resized)
                if not keeps[i]:
                    red, green, blue, _ = cv2.mean(image)
                    colours = maps[i]
                    colours[:, 3] = towards[i] * (RED * red + GREEN * green + BLUE * blue)
                    image = cv2.transform(image, colours, coloured)
                planes = pixels_BCHW[i]
                cv2.split(image, list(planes))
                if flips[i]:
                    lines = planes.reshape(3 * side, side)
                    cv2.flip(lines, 1, lines)

        working = [self._pool.submit(work) for _ in range(min(self._threads, len(rows)))]

        def finish() -> Array:
            for worker in working:
                worker.result()
            return pixels_BCHW

        return finish

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _image(self, row: int, k: int, side: int) -> Array:
        """A stored square, (side, side, 3)."""
        kept = self._kept.get((row, k))
        if kept is not None:
            return kept
        data = self._shards.bytes(row, k)
        if self._shards.encoding == "raw":
            return np.frombuffer(data, np.uint8).reshape(side, side, 3)
        image = CODECS[self._shards.encoding](data, self._scratch("decoded", side))
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._kept[row, k] = image.copy()
        return image

    def _scratch(self, purpose: str, side: int) -> Array:
        """Memory of this thread, (side, side, 3): the last of its size is used again."""
        held: dict[str, Array] = vars(self._own)
        if purpose not in held or len(held[purpose]) != side:
            held[purpose] = np.empty((side, side, 3), np.uint8)
        return held[purpose]


def _fitted(image: Array, side: int, into: Array) -> Array:
    """(side, side, 3), in `into` unless it is so already."""
    height, width = image.shape[:2]
    if height == width == side:
        return image
    if max(height, width) > LINEAR * side:  # shrunk by area, in the directions that are larger
        if min(height, width) >= side:
            return cv2.resize(image, (side, side), into, 0, 0, cv2.INTER_AREA)  # type: ignore[return-value]
        image = cv2.resize(image, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(image, (side, side), into, 0, 0, cv2.INTER_LINEAR)  # type: ignore[return-value]


class Buffers:
    """Memory of batches, used again when nobody sees them any more."""

    MOST = 4  # kept unused

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque(maxlen=self.MOST)

    def __call__(self, shape: tuple[int, ...]) -> Array:
        size = int(np.prod(shape))
        memory = self._unused(size)
        flat = np.frombuffer(memory, np.uint8, size)  # every view of it holds it, and a tensor does
        finalize(flat, self._free.append, memory).atexit = False
        return flat.reshape(shape)

    def _unused(self, size: int) -> bytearray:
        with suppress(IndexError):  # none is left that fits
            while True:
                if size <= len(memory := self._free.popleft()) <= 2 * size:
                    return memory
        return bytearray(size)
