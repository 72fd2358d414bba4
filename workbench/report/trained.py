"""A saved network with what its pre-training hid and learnt: what probes and audit turn on listings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.artifacts.stage import Work
from workbench.artifacts.store import MANIFEST, Artifact
from workbench.errors import ArtifactError, DataError
from workbench.model.heads import Heads
from workbench.model.mlim import Mlim
from workbench.recipe.schema import Mam, Model, Objectives, Pretrain
from workbench.tasks.catalog import Catalog, choose_device, open_catalog
from workbench.tasks.network import load_heads, load_network, missing_of, of_checkpoint, read_shape
from workbench.tasks.objective import MlmLoss, Objective, ReconLoss
from workbench.train.checkpoint import POSITION


@dataclass(frozen=True)
class Trained:
    """A network on its device, and the catalog as it reads it."""

    network: Mlim
    catalog: Catalog
    masking: Mam  # its shares hide words and patches
    objectives: dict[str, Objective]  # mlm and recon, if the network was trained for them
    heads: Heads  # of ITM and ITC, if they are there
    background: str  # colour of a blank picture, as #rrggbb

    @property
    def untrained(self) -> dict[str, str]:
        """Why an objective can't be asked."""
        reason = "the network was not trained for it (weight 0)"
        return {name: reason for name in ("mlm", "recon") if name not in self.objectives}


def open_trained(work: Work, checkpoint: Path | None, pretrain: Pretrain) -> Trained:
    """The network of a folder with model.json and model.safetensors, or of a pre-training's checkpoint, or else the one
    that the recipe pre-trained.

    What it was trained for is told by a pre-training's manifest or checkpoint; of another folder the recipe's
    `pretrain` is believed.
    Raises DataError for a folder without a network, or with one of another vocabulary.
    """
    folder = checkpoint or work.inputs["pretrain"].folder
    if missing := missing_of(folder):
        raise DataError(f"{folder}: holds no {missing}; expected a folder that pre-training or fine-tuning left")
    shape, device = read_shape(folder)[0], choose_device(work)
    heads = Heads(Objectives(), shape.size.width)  # none
    made = _manifest(folder)
    if made and made.stage == "pretrain":
        pretrain = Pretrain.model_validate(made.ingredients["section"]["pretrain"])
        heads = load_heads(made)
    elif (folder / POSITION).is_file():
        pretrain, heads = of_checkpoint(folder)
    catalog = open_catalog(work.inputs, Model(image_side=shape.image_side, patch=shape.patch), work.runtime)
    words = catalog.listings.tokens.tokenizer
    if shape.vocabulary != words.size or shape.text_positions < words.max_length:
        raise DataError(
            f"{folder}: a network of {shape.vocabulary} tokens and {shape.text_positions} text positions; the recipe's "
            f"texts have {words.size} and {words.max_length}; use the recipe's tokens section that it was trained with"
        )
    asked = pretrain.objectives
    objectives: dict[str, Objective] = {"mlm": MlmLoss()} if asked.mlm.weight else {}
    if asked.recon.weight:
        objectives["recon"] = ReconLoss(asked.recon)
    masking = pretrain.masking if isinstance(pretrain.masking, Mam) else Mam()
    background = work.inputs["images"].ingredients["section"]["images"]["background"]
    network = load_network(folder).eval().to(device)
    return Trained(network, catalog, masking, objectives, heads.eval().to(device), background)


def _manifest(folder: Path) -> Artifact | None:
    if not (folder / MANIFEST).exists():
        return None
    try:
        return Artifact.open(folder)
    except ArtifactError:
        return None
