"""mlim's loader, and the bound of its format, each in a process of its own; benchmarks/loader.py starts them.

usage: python loader_ours.py loader SHARDS SECONDS KEPT     KEPT: bytes of decoded pictures kept (runtime.decoded)
       python loader_ours.py bound SHARDS SECONDS           the same calls in two bare threads
       python loader_ours.py flat SHARDS EPOCHS             memory and file descriptors after each epoch
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from workbench.batches.loader import ahead
from workbench.batches.order import Order
from workbench.images.augment import GREY, boxes, colour_maps, draw
from workbench.images.decode_cpu import CODECS, LINEAR, CpuDecoder
from workbench.images.shard import Shards
from workbench.recipe.schema import Augment, Runtime

BATCH, SIDE = 64, 224
AUGMENT = Augment()  # crops of 0.6 to 1 of the area, 3:4 to 4:3; flips; brightness, contrast, saturation 0.9 to 1.1


def batches(shards: Shards, kept: int, epochs: int) -> tuple[Order, Iterator[torch.Tensor]]:
    """Batches as in pre-training: in our order, augmented by our draws, made ahead as far as the recipe's default."""
    decoder = CpuDecoder(shards, SIDE, threads=0, decoded=kept)
    order = Order(len(shards), BATCH, epochs, seed=0)

    def start(step: int) -> Callable[[], torch.Tensor]:
        epoch, rows = order.at(step)
        pixels = decoder.start(rows, draw(AUGMENT, 0, epoch, rows))
        return lambda: from_dlpack(pixels())

    depth = min(Runtime().prefetch // (BATCH * 3 * SIDE**2), 16)
    return order, ahead(start, range(order.steps), depth)


def loader(folder: Path, seconds: float, kept: int) -> dict[str, float]:
    """Pictures a second from the second epoch on (at the latest after a second), and seconds until the first batch."""
    began = time.perf_counter()
    shards = Shards(folder)
    first, since, seen, counted = 0.0, 0.0, 0, 0
    for batch in batches(shards, kept, 1000)[1]:
        now = time.perf_counter()
        assert batch.shape[1:] == (3, SIDE, SIDE) and batch.dtype == torch.uint8
        first, seen = first or now, seen + len(batch)
        if since:
            counted += len(batch)
            if now - since >= seconds:
                break
        elif seen >= len(shards) or (now - first >= 1 and not kept):
            since = now
    return {"rate": counted / (now - since), "first": first - began}


def bound(folder: Path, seconds: float) -> dict[str, float]:
    """Pictures a second of two threads that call the libraries as the decoder does and do nothing else: bytes, sizes of
    crops and colours lie ready; no order, no checksum, no batch."""
    cv2.setNumThreads(1)
    shards = Shards(folder)
    rows = np.random.default_rng(0).permutation(len(shards))
    augmentation = draw(AUGMENT, 0, 1, rows)
    sides = shards.sides(rows)
    crops, (maps, pulls) = boxes(augmentation.crop, sides).tolist(), colour_maps(augmentation)
    work = list(
        zip(
            map(shards.bytes, rows.tolist()),
            sides.tolist(),
            crops,
            maps,
            pulls,
            augmentation.flip.tolist(),
            strict=True,
        )
    )
    decode = CODECS.get(shards.encoding)
    done = [0, 0]
    ends = time.perf_counter() + seconds

    def run(thread: int) -> None:
        decoded = np.empty((shards.side, shards.side, 3), np.uint8)
        resized, coloured = np.empty((2, SIDE, SIDE, 3), np.uint8)
        planes = list(np.empty((3, SIDE, SIDE), np.uint8))
        for i in count(thread, 2):
            data, side, (x0, y0, x1, y1), colours, pull, flip = work[i % len(work)]
            if decode is None:
                image = np.frombuffer(data, np.uint8).reshape(side, side, 3)
            else:
                image = decode(data, decoded if side == shards.side else np.empty((side, side, 3), np.uint8))
            how = cv2.INTER_AREA if max(x1 - x0, y1 - y0) > LINEAR * SIDE else cv2.INTER_LINEAR
            image = cv2.resize(image[y0:y1, x0:x1], (SIDE, SIDE), dst=resized, interpolation=how)
            red, green, blue, _ = cv2.mean(image)
            colours[:, 3] = pull * (GREY[0] * red + GREY[1] * green + GREY[2] * blue)
            cv2.split(cv2.transform(image, colours, dst=coloured), planes)
            if flip:
                for plane in planes:
                    cv2.flip(plane, 1, dst=plane)
            done[thread] += 1
            if time.perf_counter() >= ends:
                return

    began = time.perf_counter()
    threads = [Thread(target=run, args=(thread,)) for thread in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"rate": sum(done) / (time.perf_counter() - began), "first": 0.0}


def flat(folder: Path, epochs: int) -> dict[str, Any]:
    """Megabytes (PSS) and open file descriptors after each epoch."""
    shards = Shards(folder)
    order, made = batches(shards, 0, epochs + 10)  # near its end less is made ahead
    memory, files = [], []
    for step, _ in enumerate(islice(made, epochs * order.steps_per_epoch), 1):
        if step % order.steps_per_epoch == 0:
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            memory.append(round(int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024))
            files.append(len(os.listdir("/proc/self/fd")))
    return {"memory": memory, "files": files, "shards": len(list(folder.glob("shard-*.bin")))}


if __name__ == "__main__":
    what, folder, *more = sys.argv[1:]
    ways: dict[str, Callable[..., dict[str, Any]]] = {"loader": loader, "bound": bound, "flat": flat}
    kinds = {"loader": (float, int), "bound": (float,), "flat": (int,)}[what]
    print(json.dumps(ways[what](Path(folder), *(kind(value) for kind, value in zip(kinds, more, strict=True)))))
