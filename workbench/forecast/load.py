"""What each stage of a recipe has to do, in the units that its time and memory go by."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench.forecast.counts import Counts
from workbench.forecast.machine import Machine
from workbench.model.shape import Network
from workbench.recipe.schema import AUTO, SIZES, Mam, Masking, Objectives, Recipe, Task, Uniform
from workbench.tasks.readings import READINGS
from workbench.tasks.runs import Run, runs_of, steps_for, together_of

Units = Mapping[str, float]
TASKS = ("match", "classify", "retrieve", "fill", "together")
LEARNS, READS = ("pretrain", *TASKS), ("probes", "audit")  # what trains, what asks a network
LENGTHS = 3  # of values that are said word by word: each is a pass


@dataclass(frozen=True)
class Load:
    """Of a stage. Trainings side by side count as the one process that has most to do."""

    units: Units  # rows, pictures, …; gflops, steps and listings of trainings
    device: str  # "cpu", or the name of a GPU
    threads: int  # of each process
    lanes: int = 1  # processes side by side
    width: int = 0  # of the network; 0: there is none
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"  # of a training's products
    compiles: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Load:
        return cls(**said)


@dataclass(frozen=True)
class Loads:
    """Of the stages of one recipe on one machine."""

    recipe: Recipe
    counts: Counts
    machine: Machine
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", network_of(self.recipe, self.counts))

    def of(self, stage: str) -> Load:
        """Raises KeyError for a stage that is not known here."""
        if stage == "pretrain":
            return self._pretrain()
        if stage in LEARNS:
            return self._tuned(stage)
        if stage in READS:
            return self._read(stage)
        c, megapixel = self.counts, self.recipe.images.side**2 / 1e6
        rows, pictures = {"rows": c.listings}, {"pictures": c.pictures}
        units: dict[str, Units] = {
            "ingest": {"rows": c.rows},
            "fetch": pictures,
            "images": pictures | {"megapixels": c.pictures * megapixel},
            "duplicates": rows | pictures,
        }
        return Load(units.get(stage, rows), "cpu", self.machine.cores)

    def _pretrain(self) -> Load:
        pretrain, c = self.recipe.pretrain, self.counts
        listings = c.parts["train"] * c.pictured
        batch = batch_of(pretrain.optim.batch_size, listings)
        steps = pretrain.epochs * epoch_steps(listings, batch, pretrain.sampling.last)
        validations = math.ceil(pretrain.epochs / pretrain.validate_every)
        full, small = self.recipe.model.image_side, pretrain.sampling.sides
        sides = [*small, (1 - sum(share for share, _ in small), full)]
        forward = sum(share * self._flops(side) for share, side in sides)
        read = pretrain.epochs * listings if pretrain.sampling.last == "keep" else steps * batch
        held_out = validations * c.parts["valid"] * c.pictured
        flops = read * forward * self._passes + held_out * self._flops(full)
        ranks = self.machine.ranks
        return self._load({"gflops": flops / 1e9 / ranks, "steps": steps, "listings": (read + held_out) / ranks})

    def _flops(self, side: int) -> float:
        """Of a listing's forward passes in pre-training, padding included."""
        masking, asked = self.recipe.pretrain.masking, self.recipe.pretrain.objectives
        return forward_flops(self.network, self._text(), side, masking, asked)

    def _text(self) -> float:
        return self.counts.tokens if self.recipe.pretrain.sampling.buckets else self.counts.longest

    def _tuned(self, stage: str) -> Load:
        section, listings = task_of(self.recipe, stage)
        labels = labels_of(self.recipe, stage, self.counts)
        runs = runs_of(section)
        lanes = min(len(runs), self.machine.gpus or self.machine.cores)
        one = self._whole() * listings / 1e9
        asked = self.counts.parts["valid"] + len(READINGS) * self.counts.parts["test"]
        held_out = asked * self._whole() / 1e9

        def units(run: Run) -> Units:
            arm = section.pretrained if run.arm == "pretrained" else section.scratch
            assert arm is not None
            steps = steps_for(arm, round(labels), run.share)
            batch = batch_of(arm.optim.batch_size, labels)
            few = labels * run.share  # the last batch of an epoch is smaller
            seen = steps * few / math.ceil(max(few, 1) / batch)
            return {
                "gflops": self._passes * seen * one + held_out,
                "steps": steps,
                "listings": seen * listings,
                "runs": 1,
            }

        return self._load(busiest(map(units, runs), lanes), lanes)

    def _whole(self) -> float:
        """Operations of a listing read once with nothing hidden."""
        patches = self.network.patches()
        length = self.counts.longest + patches
        return self.network.layers_flops(length, length) + self.network.embedder_flops(patches)

    def _read(self, stage: str) -> Load:
        """Passes over listings; what is said and drawn makes some dearer than the encoder's alone."""
        c, recipe = self.counts, self.recipe
        probed = min(c.parts["test"] or c.parts["valid"], recipe.probes.listings) * c.pictured * recipe.probes.draws
        passes, dear = {
            "probes": (6 * probed, 1.5),  # three conditions of each loss
            "audit": (c.listings * c.pictured * (1 + recipe.audit.strangers), 2.5),
        }[stage]
        return self._load({"gflops": passes * dear * self._whole() / 1e9, "listings": passes})

    def _load(self, units: Units, lanes: int = 1) -> Load:
        return Load(
            units,
            self._device,
            max(1, self.machine.cores // lanes),
            lanes,
            self.network.width,
            self.recipe.model.precision,
            self.recipe.runtime.compile,
        )

    @property
    def _passes(self) -> int:
        """Forward passes whose time a step takes: backward counts as two, and what is computed again as one."""
        return 4 if self.recipe.runtime.recompute else 3

    @property
    def _device(self) -> str:
        return self.machine.gpu or "cpu"


def network_of(recipe: Recipe, counts: Counts) -> Network:
    """The network that the recipe trains; of published weights and of a checkpoint as their files tell."""
    from workbench.recipe.published import folder_of, read_config

    model = recipe.model
    width, layers, _ = SIZES[model.size or "small"]
    if model.bert:
        config = read_config(folder_of("model.bert", model.bert))
        width, layers = config.width, config.layers
    elif model.checkpoint and (saved := model.checkpoint / "model.json").is_file():
        size = json.loads(saved.read_text())["size"]
        width, layers = size["width"], size["layers"]
    longest = recipe.tokens.max_length
    return Network(width, layers, counts.vocabulary, longest, model.image_side, model.patch, model.embedder)


def forward_flops(network: Network, text: float, side: int, masking: Masking, asked: Objectives) -> float:
    """Of all passes that pre-training makes over a listing with so many text positions."""
    patches = network.patches(side)
    words, hidden = masked_shares(masking)
    length = text + patches
    seen = patches * (1 if network.embedder == "resnet" else 1 - hidden)
    total = 0.0
    if asked.mlm.weight or asked.recon.weight:
        total += network.layers_flops(length, length) + network.embedder_flops(seen)
    total += network.head_flops(words * text) * bool(asked.mlm.weight)
    total += network.decoder_flops(patches) * bool(asked.recon.weight)
    if asked.itm.weight:
        total += network.layers_flops(length, length) + network.embedder_flops(patches)
    if asked.itc.weight:
        apart = network.layers_flops(text, text) + network.layers_flops(patches, patches)
        total += apart + network.embedder_flops(patches)
    return total


def masked_shares(masking: Masking) -> tuple[float, float]:
    """Shares of the words and of the patches that are hidden, on average."""
    if isinstance(masking, Mam):
        image, text, light = masking.modes
        return text * masking.heavy_text + light * masking.light_text, image * masking.heavy_image + light * (
            masking.light_image
        )
    return (masking.text, masking.image) if isinstance(masking, Uniform) else (0.0, 0.0)


def epoch_steps(listings: float, batch: float, last: str) -> int:
    """Optimizer steps of a pass over the listings."""
    return math.ceil(listings / batch) if last == "keep" else int(listings // batch)


def batch_of(said: int, listings: float) -> float:
    """The recipe's, or 256 where it is to be found while training."""
    return float(said) if said != AUTO else min(256.0, max(listings, 1.0))


def task_of(recipe: Recipe, stage: str) -> tuple[Task, int]:
    """The section of a fine-tuning, and how many listings are read for a label."""
    tuned = recipe.finetune
    if stage == "together":
        return together_of(tuned), 1  # its labels are counted in listings
    words = tuned.fill and tuned.fill.answer == "words"
    return tuned.tasks[stage], {"match": 2, "retrieve": 2, "fill": LENGTHS if words else 1}.get(stage, 1)


def labels_of(recipe: Recipe, stage: str, counts: Counts) -> float:
    """Training labels: listings of the train part that have one, or pairs within it, or questions about it."""
    tuned, train = recipe.finetune, counts.parts["train"]
    if stage == "together":
        return sum(labels_of(recipe, task, counts) * task_of(recipe, task)[1] for task in tuned.tasks)
    if stage == "match" and tuned.match:
        if tuned.match.pairs is None:
            return max(1.0, train / 2 * (1 + tuned.match.mine.negatives))  # as if each listing had one match
        return _in_train(tuned.match.pairs, counts)
    if stage == "classify" and tuned.classify:
        if tuned.classify.labels:
            return _in_train(tuned.classify.labels, counts)
        names = [tuned.classify.label] if isinstance(tuned.classify.label, str) else tuned.classify.label
        return max(1.0, train * max(counts.labelled.get(name, 1.0) for name in names))
    if stage == "fill" and tuned.fill:
        return max(1.0, train * sum(counts.labelled.get(name, 1.0) for name in tuned.fill.attributes))
    return max(1.0, train)


def _in_train(path: Path, counts: Counts) -> float:
    """Lines of a file about listings, as many as the train part has of them."""
    train = counts.parts["train"]
    if not path.exists():  # it is where the data was pushed from
        return max(1.0, train)
    with path.open("rb") as file:
        lines = sum(1 for _ in file) - 1
    return max(1.0, lines * train / max(counts.listings, 1))


def busiest(runs: Iterable[Units], lanes: int) -> Units:
    """What the process has to do that has most, when each takes the next run as soon as it is free."""
    sums: list[dict[str, float]] = [{} for _ in range(lanes)]
    for run in runs:
        least = min(sums, key=lambda lane: lane.get("gflops", 0.0))
        for unit, count in run.items():
            least[unit] = least.get(unit, 0.0) + count
    return max(sums, key=lambda lane: lane.get("gflops", 0.0))
