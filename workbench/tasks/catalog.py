"""The artifacts that a task reads, opened together and aligned by row."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.batches.loader import Listings
from workbench.batches.order import Order
from workbench.batches.weights import frequencies
from workbench.catalog.split import read_listings
from workbench.errors import DataError, RecipeError
from workbench.images.choose import open_decoder
from workbench.images.shard import Shards
from workbench.images.stream import open_shards
from workbench.recipe.schema import AUTO, Model, Pretrain, Runtime
from workbench.text.tokens import TokenTable

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Catalog:
    """The cleaned listings, and how the model reads them."""

    items: pl.DataFrame  # row, id, group, title, text.*, label.*, picture, …, part
    listings: Listings
    shards: Shards
    decoder: str = ""  # which decodes the pictures, and why

    def rows(self, part: str) -> NDArray[np.int64]:
        """Rows of a part (train, valid, test) in ascending order."""
        rows: NDArray[np.int64] = np.flatnonzero(self.items["part"].eq_missing(part).to_numpy())
        return rows

    def pictured(self, part: str) -> NDArray[np.int64]:
        """Rows of a part with a usable picture and some text: what pre-training learns from."""
        rows = self.rows(part)
        pictured: NDArray[np.int64] = rows[self.shards.usable[rows] & (self.listings.tokens.lengths[rows] > 0)]
        return pictured


def open_catalog(inputs: Mapping[str, Artifact], model: Model, runtime: Runtime, device: torch.device = CPU) -> Catalog:
    """Open the artifacts of ingest, split, images and tokens, to train a model of this picture size on `device`.

    Raises RecipeError where the recipe asks for a decoder that doesn't work here.
    """
    final = inputs["duplicates"].path("pictures.parquet") if "duplicates" in inputs else None
    shards, pinned = open_shards(inputs["images"], final), device.type == "cuda"
    pictures, said = open_decoder(shards, model.image_side, runtime, str(device), _pinned if pinned else None)
    tokens = TokenTable(inputs["tokens"].folder)
    listings = Listings(tokens, pictures, model.patch, runtime.prefetch, pinned)
    return Catalog(read_listings(inputs), listings, shards, said)


def training_order(catalog: Catalog, images: Artifact, pretrain: Pretrain, epochs: int) -> Order:
    """In which order so many epochs of pre-training read the listings of `catalog.pictured("train")`.

    Raises DataError where there are none.
    """
    if pretrain.optim.batch_size == AUTO:
        raise RecipeError(
            "pretrain.optim.batch_size: auto is found by pre-training, on the device that it runs on; here a number is "
            "needed: give the one that it told (--set pretrain.optim.batch_size=…)"
        )
    train = catalog.pictured("train")
    if not len(train):
        reasons = ", ".join(f"{reason} ({n})" for reason, n in images.summary["reasons"].items()) or "none"
        raise DataError(
            "pretrain: no listing of the train part has both a usable picture and a text; pictures that can't be used: "
            f"{reasons}; name their column and place in catalog.feeds (columns.picture, pictures); "
            f"{images.path('pictures.csv')} lists the pictures and what is wrong with them"
        )
    return Order(
        count=len(train),
        batch_size=pretrain.optim.batch_size,
        epochs=epochs,
        seed=pretrain.seed,
        sampling=pretrain.sampling,
        shards=train // images.ingredients["section"]["images"]["shard_pictures"],
        lengths=catalog.listings.tokens.lengths[train],
        frequencies=frequencies(catalog.items, train, pretrain.sampling, pretrain.seed),
    )


def _pinned(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Memory that torch keeps for further batches, and gives again once the GPU has read it."""
    return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()


def choose_device(work: Work) -> torch.device:
    """The device of the recipe's runtime section, of several processes each its own; also sets torch's threads.
    RecipeError for a GPU that isn't there."""
    if work.runtime.threads:
        torch.set_num_threads(work.runtime.threads)
    wanted = work.runtime.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RecipeError("runtime.device: found no GPU that torch can use; expected one for 'cuda'; give auto or cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return CPU
    if work.runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else sums of matrix products may vary
        torch.use_deterministic_algorithms(True, warn_only=True)
    if work.world is None:
        return torch.device("cuda")
    check_gpus(work.world.local_size, wanted)
    torch.cuda.set_device(work.world.local_rank)
    return torch.device("cuda", work.world.local_rank)


def check_gpus(processes: int, wanted: str) -> None:
    """RecipeError where so many processes of this machine would have to share GPUs."""
    gpus = torch.cuda.device_count()
    if wanted != "cpu" and 0 < gpus < processes:
        raise RecipeError(
            f"{processes} processes on this machine, and {gpus} GPU{'s' if gpus > 1 else ''}: each needs one of its "
            f"own; start {gpus}, or set runtime.device: cpu"
        )
