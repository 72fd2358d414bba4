"""Whether DALI keeps a GPU fed: pictures a second of the decoder alone, and how long the base recipe waits for data.

usage: python benchmarks/dali.py [FOLDER] [COUNT] [SECONDS]     on a machine with a GPU
       python benchmarks/dali.py --cpu [FOLDER] [COUNT] [SECONDS]     all of it small and on the CPU, to try the script

1. In FOLDER (a temporary one), COUNT (8,192) photographs in shards of 512 px, JPEG as the images stage stores it; 512
   are distinct.
2. The decoder alone: batches of 256 at 384 px, cropped, flipped and coloured as in pre-training, into torch, for
   SECONDS (5) each, with one after another of what can be tuned; the CPU's decoder beside it.
3. The training step of recipes/base.yaml (model, masks, augmentation, batch) on pictures of its 224 px and of 384 px,
   with the best of these: the share of its time that the loop waits for data, and the same steps on a batch that lies
   ready, which tells what decoding takes from a GPU that is also training.

It holds where 2. gives 15,000 pictures/s or more and 3. waits less than 2% of the time.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count as count_from
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch.utils.dlpack import from_dlpack

from workbench.batch import Batch
from workbench.batches.loader import Listings, ahead
from workbench.batches.order import Order
from workbench.images.augment import draw
from workbench.images.decode_cpu import CpuDecoder
from workbench.images.decode_dali import DaliDecoder, Tuning
from workbench.images.decoder import Decoder
from workbench.images.shard import Shards
from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.recipe.load import load_recipe
from workbench.recipe.schema import Recipe
from workbench.tasks.objective import Pretraining
from workbench.train.loop import Plan, updates_of

WANTED, WAIT = 15_000, 0.02  # pictures/s, share of a step
KNOBS: dict[str, tuple[Any, ...]] = {
    "hardware": (0.0, 0.25, 0.5, 0.65, 0.8, 1.0),
    "huffman": (0,),
    "depth": (2, 3, 4, 6),
}  # of Tuning
DISTINCT = 512  # pictures


@dataclass(frozen=True)
class Set:
    """How large it all is."""

    stored: int  # pixels: side of the pictures in the shards
    side: int  # of those that are handed out
    batch: int
    gpu: int | None
    warm: int  # batches and steps that aren't counted
    recipe: Recipe

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.gpu is None else "cuda")


def main(folder: Path, count: int, seconds: float, on_cpu: bool) -> None:
    if not on_cpu and not torch.cuda.is_available():
        sys.exit("no GPU here: run this on a machine with one, or with --cpu to try the script")
    os.environ.setdefault("MLIM_FEED", os.devnull)
    small = ["model.size=tiny", "model.patch=8", "model.image_side=48", "model.precision=fp32"] if on_cpu else []
    recipe = load_recipe(Path(__file__).parents[1] / "recipes/base.yaml", small)
    size = (
        Set(64, 48, 16, None, 2, recipe) if on_cpu else Set(512, 384, recipe.pretrain.optim.batch_size, 0, 20, recipe)
    )
    print(
        f"{'no GPU' if on_cpu else torch.cuda.get_device_name()}, {len(os.sched_getaffinity(0))} CPU threads",
        flush=True,
    )
    shards = Shards(make_shards(folder / f"shards-{size.stored}-{count}", count, size.stored))
    best, how = decoders(shards, size, seconds)
    waited = max(training(shards, size, how, side, seconds) for side in {recipe.model.image_side, size.side})
    held = {f"at least {WANTED:,} pictures/s": best >= WANTED, f"waits less than {WAIT:.0%}": waited < WAIT}
    for what, holds in held.items():
        print(f"{what}: {'holds' if holds else 'does not hold'}")
    if on_cpu:
        print("(of no meaning without a GPU)")


# -- shards -----------------------------------------------------------------------------------------------------------


def make_shards(folder: Path, count: int, side: int) -> Path:
    """`count` photographs, of which DISTINCT are distinct, as the images stage would store them."""
    if (folder / "shards.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [photograph(np.random.default_rng(i), side) for i in range(min(DISTINCT, count))]
    lines, place = [], 0
    with (folder / "shard-00000.bin").open("wb") as file:
        for row in range(count):
            data = pictures[row % len(pictures)]
            lines.append((row, 0, "present", 0, place, len(data), zlib.crc32(data), side))
            place += file.write(data)
    columns = ["row", "order", "state", "shard", "offset", "length", "crc32", "side"]
    pl.DataFrame(lines, columns, orient="row").write_parquet(folder / "index.parquet")
    (folder / "shards.json").write_text(json.dumps({"side": side, "encoding": "jpeg"}))
    print(f"{count:,} pictures of {side} px, {place / count / 1024:.0f} KiB each", flush=True)
    return folder


def photograph(draw: np.random.Generator, side: int) -> bytes:
    """A cut of one of scikit-learn's photographs, with a sensor's grain."""
    from sklearn.datasets import load_sample_images

    photo = Image.fromarray(load_sample_images().images[draw.integers(2)])
    cut = int(draw.uniform(0.8, 1) * photo.height)
    left, top = (int(draw.integers(whole - cut + 1)) for whole in photo.size)
    image = photo.crop((left, top, left + cut, top + cut)).resize((side, side), Image.Resampling.LANCZOS)
    grain = np.rint(draw.normal(0, 2, (side, side, 1)))
    out = io.BytesIO()
    image = Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
    image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


# -- the decoder alone ------------------------------------------------------------------------------------------------


def decoders(shards: Shards, size: Set, seconds: float) -> tuple[float, Tuning]:
    """The most pictures a second, and how; one knob after another."""
    best, how = 0.0, Tuning(largest=size.batch)
    print(f"{shards.side} px to {size.side} px, batches of {size.batch}:")
    for knob, values in KNOBS.items():
        for value in values if size.gpu is not None or knob == "depth" else ():
            tuning = replace(how, **{knob: value})
            decoder = DaliDecoder(shards, size.side, size.gpu, tuning=tuning)
            speed = rate(decoder, size, seconds, tuning.depth + 1)
            decoder.close()
            print(f"  {decoder.name}, {knob} {value:,}: {speed:,.0f} pictures/s", flush=True)
            best, how = max((best, how), (speed, tuning), key=lambda one: one[0])
    cpu = CpuDecoder(shards, size.side)
    print(f"  {cpu.name}: {rate(cpu, size, seconds, 3):,.0f} pictures/s", flush=True)
    cpu.close()
    print(f"  best: {best:,.0f} pictures/s with {how}")
    return best, how


def rate(decoder: Decoder, size: Set, seconds: float, ahead: int) -> float:
    """Pictures a second into torch's hands, `ahead` batches begun before they are called for."""
    draws = np.random.default_rng(0)
    ready = []
    for seed in range(8):  # drawn beforehand: this is about the decoder
        rows = draws.permutation(len(decoder.usable))[: size.batch]
        ready.append((rows, draw(size.recipe.pretrain.augment, seed, 1, rows)))
    begun: deque[Callable[[], Any]] = deque()
    since, seen = 0.0, 0
    for step in count_from():
        begun.append(decoder.start(*ready[step % len(ready)]))
        if len(begun) <= ahead:
            continue
        seen += len(from_dlpack(begun.popleft()()))
        if step == size.warm + ahead:
            since, seen = time.perf_counter(), 0
        elif since and time.perf_counter() - since >= seconds:
            break
    if size.gpu is not None:
        torch.cuda.synchronize()
    return seen / (time.perf_counter() - since)


# -- the training step ------------------------------------------------------------------------------------------------


def training(shards: Shards, size: Set, how: Tuning, side: int, seconds: float) -> float:
    """The share of the base recipe's training steps, on pictures of `side`, that is spent waiting for data."""
    recipe = size.recipe
    decoder = DaliDecoder(shards, side, size.gpu, tuning=how)
    texts = Texts(len(shards), recipe.tokens.vocabulary, recipe.tokens.max_length)
    listings = Listings(texts, decoder, recipe.model.patch, recipe.runtime.prefetch)  # type: ignore[arg-type]
    order = Order(len(shards), size.batch, 10_000, recipe.pretrain.seed)

    def start(step: int) -> Callable[[], list[Batch]]:
        epoch, rows = order.at(step)
        begun = listings.start(
            rows,
            epoch=epoch,
            masking=recipe.pretrain.masking,
            augment=recipe.pretrain.augment,
            any_picture=True,
        )
        return lambda: [begun()]

    steps, depth = range(order.steps), min(8, listings.steps_ahead(size.batch))
    loaded, waited = steps_of(size, texts, side, lambda first: ahead(start, steps[first:], depth), order.steps, seconds)
    ready = [one.to(size.device) for one in start(0)()]
    alone, _ = steps_of(size, texts, side, lambda first: (ready for _ in steps[first:]), order.steps, seconds)
    decoder.close()
    print(f"a training step of {size.batch} at {side} px, {recipe.model.size} model, {depth} steps ahead:")
    print(f"  {loaded * 1000:.1f} ms, {size.batch / loaded:,.0f} listings/s; waits for data {waited:.2%} of the time")
    print(f"  {alone * 1000:.1f} ms on a batch that lies ready: decoding beside it takes {1 - alone / loaded:.2%}")
    return waited


def steps_of(
    size: Set,
    texts: Texts,
    side: int,
    batches: Callable[[int], Iterator[Sequence[Any]]],
    steps: int,
    seconds: float,
) -> tuple[float, float]:
    """Seconds of a step of the training loop, and the share of them spent waiting."""
    torch.manual_seed(0)
    words, model, pretrain = texts.tokenizer, size.recipe.model, size.recipe.pretrain
    shape = Shape(SIZES[model.size], words.size, words.mask, words.max_length, side, model.patch, model.embedder)
    objective = Pretraining(Mlim(shape, model.dropout), pretrain.objectives)
    updates = updates_of(objective, Plan(steps, pretrain.optim, 0, precision=model.precision), size.device)
    spent, waited, counted = 0.0, 0.0, 0
    source = iter(batches(0))
    for step in range(steps):
        begun = time.perf_counter()
        micro_batches = next(source)
        fetched = time.perf_counter()
        updates.step(micro_batches)
        if step >= size.warm:  # a GPU is as far behind after each step, so that the sum is its time
            spent, waited, counted = spent + time.perf_counter() - begun, waited + fetched - begun, counted + 1
        if spent >= 2 * seconds:
            break
    return spent / counted, waited / spent


@dataclass(frozen=True)
class Words:
    """As much of a tokenizer as a loader needs."""

    size: int
    max_length: int
    pad: int = 0
    cls: int = 2
    sep: int = 3
    mask: int = 4
    special_ids: frozenset[int] = frozenset(range(6))


class Texts:
    """As much of a `TokenTable`: drawn ids, 10 words to as many as fit."""

    def __init__(self, count: int, vocabulary: int, longest: int) -> None:
        draws = np.random.default_rng(0)
        self.tokenizer = Words(vocabulary, longest)
        self.lengths = draws.integers(10, longest - 1, count)
        self._words = draws.integers(6, vocabulary, (count, longest)).astype(np.uint16)

    def ids(self, row: int) -> Any:
        return self._words[row, : self.lengths[row]]


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--cpu"]
    on_cpu = "--cpu" in sys.argv
    with tempfile.TemporaryDirectory() as aside:
        main(
            Path(given[0] if given else aside),
            int(given[1]) if len(given) > 1 else (64 if on_cpu else 8192),
            float(given[2]) if len(given) > 2 else (0.5 if on_cpu else 5.0),
            on_cpu,
        )
