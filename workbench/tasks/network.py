"""From a recipe's model section to an MLIM network, and from a pre-training's artifact back to it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from torch import Tensor

from workbench.artifacts.format import as_written_here, check_format
from workbench.artifacts.store import Artifact
from workbench.batch import Batch
from workbench.errors import ArtifactError, DataError, RecipeError
from workbench.model.bert import Loaded, bert_size, load_bert
from workbench.model.encoder import Size
from workbench.model.heads import Heads
from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.recipe.published import folder_of
from workbench.recipe.schema import Model, Objectives, Pretrain, Start
from workbench.text.tokenizer import TextTokenizer, load_huggingface
from workbench.train.checkpoint import STATE, open_checkpoint, read_weights, write

WEIGHTS, HEADS, CONFIG = "model.safetensors", "heads.safetensors", "model.json"


def model_section(pretrained: Artifact) -> Model:
    """The model section of the recipe that a pre-training ran with."""
    with as_written_here(pretrained.folder):
        return Model(**pretrained.ingredients["section"]["model"])


def build(model: Model, tokenizer: TextTokenizer) -> tuple[Mlim, Loaded | None]:
    """A new network, and what came of published weights. Its own come from the global generator, which the caller
    seeds. Raises RecipeError where the published weights are not of the tokenizer's words, or don't fit, and
    ArtifactError where the checkpoint doesn't."""
    saved = _saved_size(model.checkpoint) if model.checkpoint else None
    bert = folder_of("model.bert", model.bert) if model.bert else None
    shape = Shape(
        size=bert_size(bert) if bert else saved or SIZES[model.size or "small"],
        vocabulary=tokenizer.size,
        mask_token=tokenizer.mask,
        text_positions=tokenizer.max_length,
        image_side=model.image_side,
        patch=model.patch,
        embedder=model.embedder,
    )
    if model.checkpoint:
        return load_network(model.checkpoint, shape, model.dropout), None
    network = Mlim(shape, model.dropout)
    if not bert:
        return network, None
    _check_words(bert, tokenizer)
    return network, load_bert(bert, network, words=tokenizer.size - len(tokenizer.fields))


def _saved_size(checkpoint: Path) -> Size:
    if missing := missing_of(checkpoint):
        raise DataError(f"model.checkpoint: {checkpoint}: holds no {missing}; expected a folder that pre-training left")
    return read_shape(checkpoint)[0].size


def missing_of(folder: Path) -> str:
    """The file that a folder lacks to hold a network, a finished one or a checkpoint of a pre-training; or ""."""
    if not (folder / CONFIG).is_file():
        return CONFIG
    return "" if weights_of(folder).is_file() else WEIGHTS


def weights_of(folder: Path) -> Path:
    """The file of a folder that weights are in."""
    return folder / (STATE if (folder / STATE).is_file() else WEIGHTS)


def _check_words(bert: Path, tokenizer: TextTokenizer) -> None:
    """Where the weights' folder tells their words, each must have the same id."""
    if not any((bert / name).exists() for name in ("tokenizer.json", "vocab.txt")):
        return
    published = load_huggingface(bert, (), tokenizer.max_length).words
    ours = tokenizer.words
    for word in sorted(published, key=published.__getitem__):
        if ours.get(word) != published[word]:
            raise RecipeError(
                f"model.bert: {bert}: the word {word!r} has the id {published[word]}, in tokens.tokenizer "
                f"{'it has ' + str(ours[word]) if word in ours else 'there is no such word'}; leave tokens.tokenizer "
                "out, so that it is taken from model.bert"
            )


def save_network(folder: Path, network: Mlim, heads: Heads | None = None) -> None:
    """Write the weights, of the objectives' heads too if there are any, and what is needed to build it all again."""
    (folder / CONFIG).write_bytes(config_of(network))
    if heads and heads.state_dict():
        write(folder / HEADS, heads.state_dict())
    write(folder / WEIGHTS, dict(network.named_parameters()))  # last: where there are weights, all is there


def config_of(network: Mlim) -> bytes:
    """The content of model.json, from which `read_shape` reads."""
    return json.dumps(dataclasses.asdict(network.shape) | {"dropout": network.dropout.p}, indent=1).encode()


def read_shape(folder: Path) -> tuple[Shape, float]:
    """Shape and dropout of a saved network. Raises ArtifactError for one of a version that this one doesn't read."""
    with as_written_here(folder / CONFIG):
        config = json.loads((folder / CONFIG).read_text())
        check_format(config, folder / CONFIG, "train it again with this one")
        dropout = config.pop("dropout")
        return Shape(**config | {"size": Size(**config["size"])}), dropout


def load_network(folder: Path, shape: Shape | None = None, dropout: float | None = None) -> Mlim:
    """The network that `save_network` wrote, or that of a pre-training's checkpoint; or one of another picture side,
    its position embeddings interpolated.

    Raises ArtifactError where `shape` differs in anything else.
    """
    saved, its_dropout = read_shape(folder)
    wanted = dataclasses.asdict(shape or saved)
    differ = [
        f"{name} {value}, expected {wanted[name]}"
        for name, value in dataclasses.asdict(saved).items()
        if name != "image_side" and value != wanted[name]
    ]
    if differ:
        raise ArtifactError(f"{folder}: a network of {'; '.join(differ)}; only image_side may be another")
    network = Mlim(shape or saved, its_dropout if dropout is None else dropout)
    read_weights(weights_of(folder), network, "network.")
    return network


def trained_for(pretrained: Artifact) -> Objectives:
    """The objectives of the recipe that a pre-training ran with."""
    with as_written_here(pretrained.folder):
        return Objectives(**pretrained.ingredients["section"]["pretrain"]["objectives"])


def load_heads(pretrained: Artifact) -> Heads:
    """The heads of these objectives as `save_network` wrote them; without any where none has one."""
    heads = Heads(trained_for(pretrained), read_shape(pretrained.folder)[0].size.width)
    if heads.state_dict():
        read_weights(pretrained.path(HEADS), heads)
    return heads


def of_checkpoint(folder: Path) -> tuple[Pretrain, Heads]:
    """What a pre-training whose checkpoint this is was told, but for its length, and the heads of its objectives."""
    with as_written_here(folder):
        pretrain = Pretrain.model_validate(open_checkpoint(folder).of["section"]["pretrain"])
    heads = Heads(pretrain.objectives, read_shape(folder)[0].size.width)
    if heads.state_dict():
        read_weights(folder / STATE, heads, "heads.")
    return pretrain, heads


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
