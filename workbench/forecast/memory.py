"""Memory and disk of a stage, by formula; figures of bytes were counted on the tensors that a step keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.forecast.load import LEARNS, READS, TASKS, Load, Loads, batch_of, masked_shares, task_of
from workbench.images.disk import PIXEL, encoding_of
from workbench.model.shape import Matrix, Network
from workbench.recipe.schema import SIZES, Optim, Recipe

_MB = 2**20
_BASE, _TORCH, _CUDA = 200 * _MB, 700 * _MB, 2500 * _MB  # of a process that has imported polars; torch; torch's CUDA
# oneDNN keeps up to 1024 products' code, one for each shape; steps with words hidden at random bring some 20 new ones
# each, of a megabyte in 16 bits. Trainings that hide nothing have fewer shapes.
_CODE = {"bf16": 1000 * _MB, "fp16": 1000 * _MB, "fp32": 120 * _MB}
_STEPS, _FEW = 50, 0.3
_ROW = {"ingest": 300, "duplicates": 4000, "census": 1000, "split": 300, "tokens": 500}  # bytes held for a listing
_DECODING = 40 * _MB  # a thread that decodes a large picture
_DISK = {"ingest": 60, "duplicates": 660, "split": 5, "tokens": 40, "census": 50, **dict.fromkeys(TASKS, 20)}
_INDEX = 600  # bytes of a picture's line in the index


@dataclass(frozen=True)
class Room:
    """Bytes that a stage takes."""

    memory: float  # of the machine, by all its processes at their peak
    gpu: float  # of the GPU's; 0: none is used
    disk: float  # what stays
    passing: float  # what comes on top while it runs: checkpoints


def room(stage: str, load: Load, all_loads: Loads) -> Room:
    """By formula."""
    recipe, network = all_loads.recipe, all_loads.network
    kept = _disk(stage, all_loads)
    if stage in LEARNS:
        optim = _optim(stage, recipe)
        trained = _training(optim, stage, all_loads)
        caches = load.lanes * _caches(optim, stage, all_loads)
        state = state_bytes(network.parameters, stage == "pretrain" and bool(recipe.pretrain.average))
        checkpoints = load.lanes * state * (recipe.runtime.checkpoints.last + 1)
        if load.device != "cpu":
            return Room(_CUDA + caches + state, trained, kept, checkpoints)
        code = _CODE[load.precision] * (1 - math.exp(-load.units["steps"] / _STEPS))
        one = _TORCH + trained + state + code * (1 if stage == "pretrain" else _FEW)
        processes = load.lanes * one + (_TORCH if load.lanes > 1 else 0)
        return Room(processes + caches, 0.0, kept, checkpoints)
    if stage in READS:
        seen = 4.0 * network.parameters + 256 * layer_bytes(network, all_loads.counts.longest, recipe, load.device)
        on_gpu = load.device != "cpu"
        return Room((_CUDA if on_gpu else _TORCH + seen), seen if on_gpu else 0.0, kept, 0.0)
    decoding = _DECODING * load.threads if stage == "images" else 0
    return Room(_BASE + decoding + _ROW.get(stage, 0) * min(all_loads.counts.listings, 1e6), 0.0, kept, 0.0)


def state_bytes(parameters: int, average: bool) -> float:
    """Of a checkpoint: weights, AdamW's two moments and, where asked, the moving average, in float32."""
    return parameters * (16.0 if average else 12.0)


def _training(optim: Optim, stage: str, all_loads: Loads) -> float:
    """Weights, gradients and moments, the average, weights in 16 bits, and what is kept for the backward pass."""
    recipe, network = all_loads.recipe, all_loads.network
    average = 4 if stage == "pretrain" and recipe.pretrain.average else 0
    cast = 2 if recipe.model.precision != "fp32" else 0
    listings = _at_once(optim) * _of_a_label(stage, recipe)
    device = "cuda" if all_loads.machine.gpu else "cpu"
    kept = listing_bytes(network, all_loads.counts.longest, recipe, device, stage == "pretrain")
    return network.parameters * (16.0 + average + cast) + listings * kept


def _at_once(optim: Optim) -> float:
    return batch_of(optim.micro_batch if optim.micro_batch is not None else optim.batch_size, 256.0)


def listing_bytes(network: Network, text: float, recipe: Recipe, device: str, pretraining: bool) -> float:
    """What a listing leaves for the backward pass at its peak."""
    patches, short = network.patches(), recipe.model.precision != "fp32"
    words, hidden = masked_shares(recipe.pretrain.masking) if pretraining else (0.0, 0.0)
    asked = recipe.pretrain.objectives
    together = bool(asked.mlm.weight or asked.recon.weight) + bool(asked.itm.weight) + bool(asked.itc.weight)
    passes = together if pretraining else 1
    layer = layer_bytes(network, text, recipe, device)
    if recipe.runtime.recompute:
        layers = network.layers * 4 * network.width * (text + patches) + layer
    else:
        layers = (network.layers + 0.5) * layer  # the gradients of half a layer live with it
    embedder = patches * (1 - hidden) * (7 if short else 13.3) * _numbers(network.embedding())
    decoder = patches * (4 if short else 8) * _numbers(network.decoding()) * (pretraining and asked.recon.weight > 0)
    head = words * text * 8 * network.vocabulary * (asked.mlm.weight > 0)
    return passes * (layers + embedder) + decoder + head + 50 * network.image_side**2


def layer_bytes(network: Network, text: float, recipe: Recipe, device: str) -> float:
    """Of a listing, in one layer: 42 bytes a number of its width in 16 bits, and the attention's weights on a CPU."""
    length, short = text + network.patches(), recipe.model.precision != "fp32"
    heads = SIZES[recipe.model.size][2] if recipe.model.size else network.width // 64
    attention = heads * length**2 * (6 if short else 4) * (device == "cpu")
    return (42 if short else 76) * length * network.width + attention


def _numbers(matrices: list[Matrix]) -> float:
    return sum(m.outputs * m.places for m in matrices)


def _optim(stage: str, recipe: Recipe) -> Optim:
    return recipe.pretrain.optim if stage == "pretrain" else task_of(recipe, stage)[0].pretrained.optim


def _of_a_label(stage: str, recipe: Recipe) -> int:
    """Listings that are read at once for a label."""
    return 1 if stage == "pretrain" else task_of(recipe, stage)[1]


def _caches(optim: Optim, stage: str, all_loads: Loads) -> float:
    """Batches made ahead, and pictures that stay decoded: as many as there are, or as the recipe allows."""
    recipe, stored = all_loads.recipe, 3.0 * all_loads.recipe.images.side**2
    batch = batch_of(optim.batch_size, 256.0) * _of_a_label(stage, recipe) * 3 * recipe.model.image_side**2
    decoded = min(recipe.runtime.decoded, all_loads.counts.pictures * stored)
    return decoded + min(max(recipe.runtime.prefetch, batch), 17 * batch)


def _disk(stage: str, all_loads: Loads) -> float:
    counts, recipe = all_loads.counts, all_loads.recipe
    if stage == "images":
        least, most = PIXEL[encoding_of(recipe.images)]
        return counts.pictures * (recipe.images.side**2 * math.sqrt(least * most) + _INDEX)
    if stage == "fetch":
        return counts.pictures * 100_000
    network = 4.0 * all_loads.network.parameters if stage in LEARNS else 0.0
    page = 500_000 if stage in ("census", "report", "probes", "audit") else 5000
    return network + page + _DISK.get(stage, 0) * counts.listings
