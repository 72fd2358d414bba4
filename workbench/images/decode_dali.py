"""Bytes + augmentation parameters -> pixels, by NVIDIA DALI: on a GPU, or on the CPU where there is none.

The twin of decode_cpu.py. DALI decodes (JPEG by nvJPEG and the GPU's own JPEG engines), crops, resizes and colours in
one graph, several batches ahead. What it hands out is its own memory, which torch takes over without a copy: the
default executor gives every batch new memory, and DALI frees it only once the work that the GPU had been given by then
is done.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workbench.errors import MlimError
from workbench.images.augment import GREY, Augmentation, boxes, colour_maps, identity
from workbench.images.shard import Shards

BLANK = 16  # pixels: side of what is decoded in the place of a missing picture
SOFT = 4 / 3  # times smaller: from here on DALI's gaussian is nearer to OpenCV's area filter than its triangle is
READERS, READ = 4, 32  # threads, so that a disk has several requests at once, and the pictures of one
Array = NDArray[np.uint8]
Inputs = dict[str, Any]  # of a batch, by the name of the graph's input


@dataclass(frozen=True)
class Tuning:
    """What changes the speed alone; benchmarks/dali.py tries it."""

    largest: int = 256  # pictures of a batch; a larger one is met by another graph
    depth: int = 3  # batches that DALI has under way
    hardware: float = 0.25  # share of the JPEG for the GPU's JPEG engines; the threads and the GPU's cores do the rest
    huffman: int = 1_000_000  # pixels: of this rest, from here on the GPU also decodes the Huffman codes, in part


@dataclass
class _Batch:
    pipe: Any
    inputs: Inputs | None  # which DALI doesn't copy: held until its pixels are there
    begun: bool = False
    pixels: Any = None


class DaliDecoder:
    """Decodes rows of a shard artifact to a given side; see decoder.py. Safe to use from several threads."""

    def __init__(
        self, shards: Shards, side: int, gpu: int | None, threads: int = 0, tuning: Tuning | None = None
    ) -> None:
        """`gpu` is its number, or None to stay on the CPU; `threads` those of the CPU (0: all cores).

        Raises ImportError where DALI is not installed and RuntimeError where it doesn't work: a blank picture is tried.
        """
        self.usable, self.counts, self.side = shards.usable, shards.counts, side
        self._shards = shards
        self._threads = threads or len(os.sched_getaffinity(0))
        self.name = f"dali on {f'GPU {gpu}' if gpu is not None else 'the CPU'}, {self._threads} threads"
        self._readers = ThreadPoolExecutor(min(READERS, self._threads), "read")
        self._blank = _blank(shards.encoding)
        self._tuning = tuning or Tuning()
        self._graph = partial(_graph, shards.encoding, gpu, self._threads)
        self._started: deque[_Batch] = deque()  # whose pixels haven't been taken from DALI
        self._failed: MlimError | None = None
        self._lock = Lock()
        self._pipe = self._built(self._tuning)

    def start(
        self,
        rows: NDArray[np.integer],
        augmentation: Augmentation,
        picks: NDArray[np.integer] | None = None,
        side: int | None = None,
    ) -> Callable[[], Any]:
        """(B, 3, side, side) when called; see `Decoder.start`."""
        side = side or self.side
        if self._pipe is None:
            raise RuntimeError("the decoder is closed")
        if not len(rows):
            return lambda: np.zeros((0, 3, side, side), np.uint8)
        picked = np.zeros(len(rows), np.int64) if picks is None else picks
        usable = self.usable[rows]
        sides = np.where(usable, self._shards.sides(rows, picked), BLANK)
        which = list(zip(rows.tolist(), picked.tolist(), usable.tolist(), strict=True))
        parts = [which[i : i + READ] for i in range(0, len(which), READ)]
        pictures = [picture for part in self._readers.map(self._pictures, parts) for picture in part]
        inputs = _inputs(pictures, sides, usable, augmentation, side)
        with self._lock:
            if len(rows) > self._pipe.max_batch_size:
                self._pipe = self._built(replace(self._tuning, largest=1 << (len(rows) - 1).bit_length()))
            batch = _Batch(self._pipe, inputs)
            self._started.append(batch)
            self._begin()
        return partial(self._finish, batch)

    def close(self) -> None:
        """End DALI's threads and free its memory; pixels that were handed out stay."""
        with self._lock:
            self._pipe = None
            for batch in self._started:
                batch.pipe = None  # and only then what it reads
            self._started.clear()
        self._readers.shutdown()

    def _finish(self, batch: _Batch) -> Any:
        with self._lock:
            while batch.pixels is None:
                self._take()
            return batch.pixels

    def _begin(self) -> None:
        """Hand DALI what it may have under way; the rest waits, or DALI would block."""
        for batch in islice(self._started, self._tuning.depth):
            if not batch.begun:
                _feed(batch.pipe, batch.inputs)
                batch.pipe.schedule_run()
                batch.begun = True

    def _take(self) -> None:
        """The pixels of the oldest batch, which may be of one that nobody asked for."""
        if self._failed:
            raise self._failed  # a graph that failed once does nothing more
        if not self._started:
            raise RuntimeError("the decoder is closed")
        batch = self._started.popleft()
        try:
            batch.pixels = batch.pipe.outputs()[0].as_tensor()
        except RuntimeError as error:
            self._failed = MlimError(f"DALI failed ({told(error)}); runtime.decoder: cpu does without it")
            raise self._failed from error
        batch.pipe = batch.inputs = None
        self._begin()

    def _built(self, tuning: Tuning) -> Any:
        """A graph that has run: at first DALI begins as many batches as it may, so these are blank ones."""
        pipe = self._graph(tuning)
        blank = _inputs([self._blank], np.array([BLANK]), np.array([False]), identity(1), BLANK)
        for _ in range(self._tuning.depth):
            _feed(pipe, blank)
        pipe.schedule_run()
        for _ in range(self._tuning.depth):
            pipe.outputs()
        return pipe

    def _pictures(self, which: list[tuple[int, int, bool]]) -> list[Array]:
        return [self._picture(row, k) if usable else self._blank for row, k, usable in which]

    def _picture(self, row: int, k: int) -> Array:
        data = np.frombuffer(self._shards.bytes(row, k), np.uint8)
        if self._shards.encoding != "raw":
            return data
        side = math.isqrt(len(data) // 3)
        return data.reshape(side, side, 3)


def told(error: Exception) -> str:
    """What DALI says went wrong: a sentence, without where in its graph and its code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    after = [lines[i + 1] for i, line in enumerate(lines[:-1]) if line == "encountered:"]
    said = (after or lines or [type(error).__name__])[0]
    return re.sub(r'^Assert on ".*" failed: ', "", said).split(". ")[0].rstrip(".")


def _inputs(
    pictures: list[Array], sides: NDArray[np.integer], usable: NDArray[np.bool_], augmentation: Augmentation, side: int
) -> Inputs:
    """A blank picture is fed where there is none, of which the colour map makes zeros: so a batch leaves DALI whole."""
    x0, y0, x1, y1 = boxes(augmentation.crop, sides).T
    maps, pulls = colour_maps(augmentation)
    return {
        "picture": pictures,
        "start": np.stack([y0, x0], axis=1).astype(np.int32),
        "end": np.stack([y1, x1], axis=1).astype(np.int32),
        "side": np.full(len(pictures), side, np.float32),
        "soft": (np.sqrt((x1 - x0) * (y1 - y0)) >= SOFT * side).astype(np.int32),
        "map": maps[:, :, :3] * usable[:, None, None],
        "pull": (pulls * usable)[:, None, None] * np.tile(GREY, (3, 1)),
        "flip": augmentation.flip.astype(np.int32),
    }


def _feed(pipe: Any, inputs: Inputs | None) -> None:
    for name, data in (inputs or {}).items():
        pipe.feed_input(name, data)


def _blank(encoding: str) -> Array:
    image = Image.new("RGB", (BLANK, BLANK))
    if encoding == "raw":
        return np.asarray(image)
    out = io.BytesIO()
    image.save(out, encoding)
    return np.frombuffer(out.getvalue(), np.uint8)


def _graph(encoding: str, gpu: int | None, threads: int, tuning: Tuning) -> Any:
    """The graph: what decode_cpu.py does to a picture, one line a step. Inputs are the CPU's, pixels the GPU's."""
    from nvidia.dali import Pipeline, fn, types

    def given(name: str, dtype: Any, ndim: int) -> Any:
        return fn.external_source(name=name, dtype=dtype, ndim=ndim)

    depth = {"prefetch_queue_depth": tuning.depth, "exec_dynamic": True}
    with Pipeline(tuning.largest, threads, gpu, **depth) as pipe:
        crop = {"start": given("start", types.INT32, 1), "end": given("end", types.INT32, 1), "axes": [0, 1]}
        if encoding == "raw":
            data = fn.external_source(name="picture", dtype=types.UINT8, layout="HWC", no_copy=True)
            image = fn.slice(data, **crop)  # by the CPU's threads, so that a GPU is sent no more than is seen
            image = image if gpu is None else image.gpu()
        else:
            data = fn.external_source(name="picture", dtype=types.UINT8, ndim=1, no_copy=True)
            image = fn.decoders.image(
                data,
                device="cpu" if gpu is None else "mixed",
                hw_decoder_load=tuning.hardware,
                hybrid_huffman_threshold=tuning.huffman,
                affine=False,  # or each process of a machine would have its threads on the same cores
            )
            image = fn.slice(image, **crop)
        side = given("side", types.FLOAT, 0)
        linear, gaussian = int(types.INTERP_LINEAR), int(types.INTERP_GAUSSIAN)
        smaller = fn.reinterpret(linear + given("soft", types.INT32, 0) * (gaussian - linear), dtype=types.INTERP_TYPE)
        image = fn.resize(image, resize_x=side, resize_y=side, min_filter=smaller, mag_filter=types.INTERP_LINEAR)
        mean = fn.reductions.mean(image, axes=[0, 1], keep_dims=True)
        moved = fn.coord_transform(mean, M=given("pull", types.FLOAT, 2))
        image = fn.coord_transform(image, M=given("map", types.FLOAT, 2), dtype=types.FLOAT) + moved
        flip = given("flip", types.INT32, 0)
        pixels = fn.crop_mirror_normalize(image, dtype=types.UINT8, output_layout="CHW", mirror=flip)
        pipe.set_outputs(pixels)
    pipe.build()
    return pipe
