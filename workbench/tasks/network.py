"""From a recipe's model section to an MLIM network, and from a pre-training's artifact back to it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from torch import Tensor

from workbench.artifacts.store import Artifact
from workbench.batch import Batch
from workbench.model.bert import bert_size, load_bert
from workbench.model.encoder import Size
from workbench.model.heads import Heads
from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.recipe.schema import Model, Objectives, Start
from workbench.text.tokenizer import TextTokenizer
from workbench.train.checkpoint import read_weights, write

WEIGHTS, HEADS, CONFIG = "model.safetensors", "heads.safetensors", "model.json"


def model_section(pretrained: Artifact) -> Model:
    """The model section of the recipe that a pre-training ran with."""
    return Model(**pretrained.ingredients["section"]["model"])


def build(model: Model, tokenizer: TextTokenizer) -> Mlim:
    """A new network; its weights come from the global generator, which the caller seeds."""
    shape = Shape(
        size=bert_size(model.bert) if model.bert else SIZES[model.size],
        vocabulary=tokenizer.size,
        mask_token=tokenizer.mask,
        text_positions=tokenizer.max_length,
        image_side=model.image_side,
        patch=model.patch,
    )
    network = Mlim(shape, model.dropout)
    if model.bert:
        load_bert(model.bert, network)
    return network


def save_network(folder: Path, network: Mlim, heads: Heads | None = None) -> None:
    """Write the weights, of the objectives' heads too if there are any, and what is needed to build it all again."""
    config = dataclasses.asdict(network.shape) | {"dropout": network.dropout.p}
    (folder / CONFIG).write_text(json.dumps(config, indent=1))
    if heads and heads.state_dict():
        write(folder / HEADS, heads.state_dict())
    write(folder / WEIGHTS, dict(network.named_parameters()))  # last: where there are weights, all is there


def read_shape(folder: Path) -> tuple[Shape, float]:
    """Shape and dropout of a saved network."""
    config = json.loads((folder / CONFIG).read_text())
    dropout = config.pop("dropout")
    return Shape(**config | {"size": Size(**config["size"])}), dropout


def load_network(folder: Path) -> Mlim:
    """The network that `save_network` wrote."""
    network = Mlim(*read_shape(folder))
    read_weights(folder / WEIGHTS, network)
    return network


def trained_for(pretrained: Artifact) -> Objectives:
    """The objectives of the recipe that a pre-training ran with."""
    return Objectives(**pretrained.ingredients["section"]["pretrain"]["objectives"])


def load_heads(pretrained: Artifact) -> Heads:
    """The heads of these objectives as `save_network` wrote them; without any where none has one."""
    heads = Heads(trained_for(pretrained), read_shape(pretrained.folder)[0].size.width)
    if heads.state_dict():
        read_weights(pretrained.path(HEADS), heads)
    return heads


@torch.no_grad()
def shrink_and_perturb(network: Mlim, start: Start) -> None:
    """Shrink the weights towards those of a fresh network and add noise (Ash & Adams 2020), in place.

    Matrices become shrink * w + perturb * std(w) * noise; gains of norms are shrunk towards 1, offsets towards 0.
    The noise comes from the global generator, which the caller seeds.
    """
    if start == Start():
        return
    for name, weight in network.named_parameters():
        if weight.ndim >= 2:
            weight.copy_(start.shrink * weight + start.perturb * weight.std() * torch.randn_like(weight))
        else:
            fresh = 1.0 if name.endswith("weight") else 0.0
            weight.lerp_(torch.full_like(weight, fresh), 1 - start.shrink)


def mean_of_tokens(batch: Batch, text_BLD: Tensor, image_BPD: Tensor) -> Tensor:
    """(B, D): the mean of the encoder's outputs over a listing's visible positions, in float32."""
    image_BP = batch.has_image_B[:, None].expand(image_BPD.shape[:2])
    visible_BS1 = torch.cat([batch.text_real_BL, image_BP], 1)[:, :, None].float()
    x_BSD = torch.cat([text_BLD, image_BPD], 1).float()
    return (x_BSD * visible_BS1).sum(1) / visible_BS1.sum(1)
