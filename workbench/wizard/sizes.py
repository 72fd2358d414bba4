"""How large a network and how long a training: as the data allows, and as this machine can do in the time given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.forecast.counts import Counts
from workbench.forecast.load import Loads
from workbench.forecast.machine import Machine, this_machine
from workbench.forecast.table import UNSURE, seconds
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Recipe
from workbench.wizard.sight import Sight

Tree = dict[str, Any]
DATA = ("ingest", "images", "duplicates", "split", "tokens")
RATES = {"tiny": 1e-3, "small": 5e-4, "base": 3e-4}
LARGE = {"small": 3000, "base": 100_000}  # products from which on a larger network has enough to learn from
PATCHES = {16: 4, 32: 8, 64: 8, 96: 16, 128: 16, 224: 16}  # side of the picture that is read -> of an image token
EPOCHS = (40, 20, 10, 5, 2)
PIECE = 20  # words behind each piece of the vocabulary, so that all are seen often enough (docs/log.md)
FIELD = 3  # tokens of a text's ends and the marker of a field


@dataclass(frozen=True)
class Sized:
    """The sections of a recipe that say how large and how long, and what that takes."""

    tree: Tree
    seconds: float
    machine: Machine

    @property
    def range(self) -> tuple[float, float]:
        return self.seconds / UNSURE, self.seconds * UNSURE


def sized(sight: Sight, recipe: Tree, folder: Path, budget: float) -> Sized:
    """The largest of the networks that so many products are enough for, of which all is done in `budget` seconds."""
    least: Sized | None = None
    for tree in _ladder(sight):
        full = recipe_from_tree({**recipe, **tree}, folder)
        machine = this_machine(full.runtime)
        takes = _seconds(full, sight, machine)
        if takes <= budget:
            return Sized(tree, takes, machine)
        if least is None or takes < least.seconds:
            least = Sized(tree, takes, machine)
    assert least
    return least


def _ladder(sight: Sight) -> Iterator[Tree]:
    """From what is best for this many products to what is quickest: a smaller picture before a smaller network, and at
    every step fewer epochs, of large catalogs very few."""
    sizes = [size for size in ("base", "small", "tiny") if sight.total >= LARGE.get(size, 0)]
    side = sight.pictures.side or 224
    sides = [s for s in (224, 128, 96, 64, 32) if s <= side] or [16]
    enough = max(2, min(20, 400_000 // max(sight.total, 1)))  # epochs: less is no training for a catalog so small
    for size in sizes:
        for s in [s for s in sides if s <= (96 if size == "tiny" else 224)]:
            yield from (_tree(sight, size, s, epochs) for epochs in EPOCHS if epochs >= enough)
    yield from (_tree(sight, "tiny", sides[-1], epochs) for epochs in EPOCHS)


def _tree(sight: Sight, size: str, side: int, epochs: int) -> Tree:
    mean, longest = sight.words
    pieces = mean * sight.total / PIECE
    fields = 1 + len(sight.roles.text)
    length = 8 * math.ceil((1.4 * longest + FIELD * fields + 2) / 8)
    batch = 32 if sight.total < 5000 else 64 if sight.total < 20_000 else 256
    return {
        "images": {"side": min(2048, side if side <= 64 else round(side * 8 / 7))},
        "tokens": {
            "vocabulary": min(16_000, max(600, int(round(pieces, -2 if pieces < 1000 else -3)))),
            "max_length": min(256, max(16, length)),
        },
        "model": {"size": size, "image_side": side, "patch": PATCHES[side]},
        "pretrain": {"epochs": epochs, "optim": {"lr": RATES[size], "batch_size": batch}},
    }


def _seconds(recipe: Recipe, sight: Sight, machine: Machine) -> float:
    loads = Loads(recipe, _counts(recipe, sight), machine)
    stages = [
        *DATA,
        "pretrain",
        *recipe.finetune.tasks,
        *(["fetch"] if recipe.fetch else []),
        "census",
        "probes",
        "report",
    ]
    return sum(seconds(stage, loads.of(stage)) for stage in stages)


def _counts(recipe: Recipe, sight: Sight) -> Counts:
    count, split, most = float(sight.total), recipe.catalog.split, recipe.tokens.max_length
    pictured = sight.pictures.named / max(sight.products, 1)
    mean, longest = (min(1.4 * words + 2, most) for words in sight.words)
    labelled: Mapping[str, float] = {label.name: label.filled for label in sight.labels}
    return Counts(
        rows=float(sight.rows) * sight.total / max(sight.products, 1),
        listings=count,
        pictures=count * pictured,
        parts={"train": count * split.train, "valid": count * split.valid, "test": count * split.test},
        pictured=pictured,
        tokens=mean,
        longest=longest,
        vocabulary=recipe.tokens.vocabulary,
        labelled=labelled,
        guessed=False,
    )
