"""`mlim bench loader`: the recipe's own loader on its own catalog, its parts apart, and beside its training step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import polars as pl
import torch

from workbench.artifacts.stage import Work
from workbench.batch import Batch
from workbench.batches.loader import Listings, ahead
from workbench.batches.order import Rows
from workbench.bench.figures import Figures
from workbench.bench.parts import Clock, measure_parts, training
from workbench.draws import ORDER, stream
from workbench.errors import DataError, MlimError
from workbench.images.augment import draw, identity
from workbench.images.decode_cpu import CpuDecoder
from workbench.images.decoder import Decoder
from workbench.images.shard import INDEX, Shards
from workbench.linux import available
from workbench.recipe.schema import Model, Optim, Pretrain
from workbench.tasks.catalog import choose_device, open_catalog
from workbench.tasks.network import build
from workbench.tasks.objective import Pretraining
from workbench.train.loop import Plan, updates_of

SAMPLE = 2048  # listings, at most
FEW = 16  # listings of a measured step on a CPU
STEPS = 4  # the first of which isn't counted


def bench(work: Work, model: Model, pretrain: Pretrain, seconds: float = 1.5) -> Figures:
    """Measure; some ten times `seconds` in all. Raises DataError where pre-training has nothing to read."""
    device, runtime = choose_device(work), work.runtime
    catalog = open_catalog(work.inputs, model, runtime, device)
    listings, shards, rows = catalog.listings, catalog.shards, catalog.pictured("train")
    if not len(rows):
        raise DataError("no listing of the train part has both a usable picture and a text: nothing to measure")
    sample = stream(pretrain.seed, ORDER).permutation(rows)[:SAMPLE]
    size = min(pretrain.optim.micro_batch or pretrain.optim.batch_size or Optim().batch_size, len(sample))
    batches = [sample[first : first + size] for first in range(0, len(sample) - size + 1, size)]
    folder = work.inputs["images"].folder
    cold = read_cold(shards, folder.glob("shard-*.bin"), sample)  # before anything else reads them

    side, cores = model.image_side, len(os.sched_getaffinity(0))
    threads = runtime.threads or cores
    on_cpu = listings.pictures.name.startswith("cpu")

    def with_cpu(threads: int, kept: int = 0) -> Listings:
        return replace(listings, pictures=CpuDecoder(shards, side, threads, kept))

    def rate_of(listings: Listings) -> float:
        with closing(listings.pictures):
            return loader_rate(listings, batches, pretrain, seconds)

    parts = measure_parts(with_cpu(1), shards, batches, pretrain, seconds / 2)
    rates = {n: rate_of(with_cpu(n)) for n in sorted({threads, cores, *powers(cores)})} if on_cpu else {}
    rate = rates[threads] if on_cpu else loader_rate(listings, batches, pretrain, seconds)
    kept = runtime.decoded if on_cpu and shards.encoding != "raw" else 0
    later = rate_of(warmed(with_cpu(threads, int(kept * len(sample) / len(rows))), batches)) if kept else None
    alone = with_cpu(threads).pictures if on_cpu else listings.pictures
    ready = listings.batch(batches[0][: FEW if device.type == "cpu" else None], **training(pretrain))
    return Figures(
        listings=len(rows),
        pictures=int(shards.counts.sum()),
        bytes=pl.scan_parquet(folder / INDEX).select(pl.col("length").sum()).collect().item(),
        encoding=shards.encoding,
        stored_side=shards.side,
        model_side=side,
        batch=size,
        decoder=listings.pictures.name,
        said=catalog.decoder,
        threads=threads,
        cores=cores,
        memory=available(),
        kept=kept,
        parts=parts,
        cold=cold,
        transfer=None if device.type == "cpu" else transfer(ready, device),
        bare=bare_rate(alone, batches, pretrain, seconds),
        rates=rates,
        rate=rate,
        later=later,
        device=device.type,
        model=str(model.bert or model.size),
        step=step_rate(model, pretrain, listings, ready, device),
    )


def powers(most: int) -> Iterator[int]:
    """1, 2, 4, … up to `most`."""
    return (2**k for k in range(most.bit_length()))


def read_cold(shards: Shards, files: Iterable[Path], rows: Rows, clock: Clock = time.perf_counter) -> float:
    """Seconds a listing to read its picture, once the kernel was told to forget the files, as far as it does."""
    for file in files:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = clock()
    for row in rows.tolist():
        shards.bytes(row)
    return (clock() - began) / len(rows)


def loader_rate(
    listings: Listings, batches: Sequence[Rows], pretrain: Pretrain, seconds: float, clock: Clock = time.perf_counter
) -> float:
    """Listings a second that come out of the loader when nothing else is done; made ahead as in training."""
    begin = lambda step: listings.start(batches[step % len(batches)], **training(pretrain))  # noqa: E731
    return _rate(map(len, ahead(begin, range(10**9), listings.steps_ahead(len(batches[0])))), seconds, clock)


def bare_rate(
    decoder: Decoder, batches: Sequence[Rows], pretrain: Pretrain, seconds: float, clock: Clock = time.perf_counter
) -> float:
    """The same of the decoder alone: one batch is begun before the last is called for, so that no thread is idle."""
    drawn = [(rows, draw(pretrain.augment, pretrain.seed, 1, rows)) for rows in batches]

    def made() -> Iterator[int]:
        begun = decoder.start(*drawn[0])
        for one, last in zip(cycle([*drawn[1:], drawn[0]]), cycle(batches), strict=False):
            following = decoder.start(*one)
            begun()
            yield len(last)
            begun = following

    return _rate(made(), seconds, clock)


def _rate(sizes: Iterable[int], seconds: float, clock: Clock) -> float:
    """Listings a second, from the first batch on, of batches of these sizes."""
    began, counted = None, 0
    for size in sizes:
        now = clock()
        if began is None:
            began = now
            continue
        counted += size
        if now - began >= seconds:
            return counted / (now - began)
    raise AssertionError("the batches ended")


def warmed(listings: Listings, batches: Iterable[Rows]) -> Listings:
    """These listings, once their pictures were decoded."""
    for rows in batches:
        listings.pictures.start(rows, identity(len(rows)))()
    return listings


def transfer(batch: Batch, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Seconds a listing from the CPU's memory to the GPU's."""
    batch.to(device)
    torch.cuda.synchronize()
    began = clock()
    for _ in range(10):
        batch.to(device)
    torch.cuda.synchronize()
    return (clock() - began) / 10 / len(batch)


def step_rate(model: Model, pretrain: Pretrain, listings: Listings, ready: Batch, device: torch.device) -> float:
    """Listings a second of the training's own loop where the batch lies ready: the median of a few steps."""
    torch.manual_seed(pretrain.seed)
    task = Pretraining(build(model, listings.tokens.tokenizer)[0], pretrain.objectives)
    updates = updates_of(task, Plan(STEPS, pretrain.optim, pretrain.seed, precision=model.precision), device)
    rates: list[float] = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        if (found := updates.step([ready])) is None:
            raise MlimError(f"{len(ready)} listings at once don't fit into memory; set pretrain.optim.micro_batch")
        found.cpu()
        rates.append(len(ready) / (time.perf_counter() - begun))
    return float(np.median(rates[1:]))
