"""Published BERT weights into the encoder. Names of parameters are our own; `load_bert` maps the published ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from workbench.errors import RecipeError
from workbench.model.encoder import NORM_EPS, Size

_BERT = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": NORM_EPS}


def bert_size(folder: Path) -> Size:
    """Size of the published BERT in a local Hugging Face folder; RecipeError when it is no BERT."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"model.bert: {folder / 'config.json'} can't be read ({error}); give a BERT's folder"
        ) from None
    for key, expected in _BERT.items():
        found = config.get(key, None if key == "model_type" else expected)
        if found != expected:
            raise RecipeError(
                f"model.bert: {folder / 'config.json'}: {key} is {found!r}; expected {expected!r}, as in BERT"
            )
    return Size(config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"])


def load_bert(folder: Path, network: nn.Module) -> tuple[int, int]:
    """Copy published weights into an MLIM network: (tensors used, tensors in the file).

    BERT's segment embedding of "sentence A", which it adds everywhere, goes into the text positions. Rows of our
    vocabulary beyond the published one (field markers) keep their initial values. Raises RecipeError when the
    widths, the number of positions or the vocabularies don't fit, or when the file lacks a weight of the encoder.
    """
    file = folder / "model.safetensors"
    try:
        published = {_modern(name): tensor for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"model.bert: {file} can't be read ({error}); give a folder with a BERT's weights") from None
    total, ours = len(published), dict(network.named_parameters())
    taken = {}
    for name, source in _names(len([n for n in ours if n.endswith("qkv.weight")])).items():
        missing = [part for part in source if part not in published]
        if missing and not name.startswith("language_head"):  # encoders are published without their head, too
            raise RecipeError(f"model.bert: {file} has no {missing[0]}; give a folder with all of a BERT's weights")
        if not missing:
            taken[name] = torch.cat([published.pop(part) for part in source])
    segment = published.pop("embeddings.token_type_embeddings.weight", None)
    if segment is not None:
        taken["text_positions.weight"] = taken["text_positions.weight"] + segment[0]
    with torch.no_grad():
        for name, tensor in taken.items():
            target = ours[name]
            rows = target.shape[0] if name == "text_positions.weight" else len(tensor)
            if tensor.shape[1:] != target.shape[1:] or len(tensor) < rows or rows > len(target):
                raise RecipeError(
                    f"model.bert: {folder}: {name} is {tuple(tensor.shape)}, the model's is {tuple(target.shape)}; "
                    "take tokens.tokenizer from the same folder and a tokens.max_length within its positions"
                )
            target[:rows] = tensor[:rows]
    return total - len(published), total


def _modern(name: str) -> str:
    """A published name without its prefix; the files of 2018 say gamma and beta for a norm's weight and bias."""
    return re.sub("gamma$", "weight", re.sub("beta$", "bias", name.removeprefix("bert.")))


def _names(layers: int) -> dict[str, tuple[str, ...]]:
    """Our parameter -> the published ones it is made of."""
    names: dict[str, tuple[str, ...]] = {
        "words.weight": ("embeddings.word_embeddings.weight",),
        "text_positions.weight": ("embeddings.position_embeddings.weight",),
        "language_head.bias": ("cls.predictions.bias",),
    }
    for kind in ("weight", "bias"):
        names[f"embedding_norm.{kind}"] = (f"embeddings.LayerNorm.{kind}",)
        names[f"language_head.dense.{kind}"] = (f"cls.predictions.transform.dense.{kind}",)
        names[f"language_head.norm.{kind}"] = (f"cls.predictions.transform.LayerNorm.{kind}",)
        for i in range(layers):
            here, there = f"encoder.layers.{i}", f"encoder.layer.{i}"
            names[f"{here}.qkv.{kind}"] = tuple(f"{there}.attention.self.{p}.{kind}" for p in ("query", "key", "value"))
            names[f"{here}.out.{kind}"] = (f"{there}.attention.output.dense.{kind}",)
            names[f"{here}.attention_norm.{kind}"] = (f"{there}.attention.output.LayerNorm.{kind}",)
            names[f"{here}.up.{kind}"] = (f"{there}.intermediate.dense.{kind}",)
            names[f"{here}.down.{kind}"] = (f"{there}.output.dense.{kind}",)
            names[f"{here}.mlp_norm.{kind}"] = (f"{there}.output.LayerNorm.{kind}",)
    return names
