"""Published BERT weights into the encoder. Names of parameters are our own; `load_bert` maps the published ones."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from workbench.errors import RecipeError
from workbench.model.encoder import Size
from workbench.recipe.published import WEIGHTS, Published, read_config


@dataclass(frozen=True)
class Loaded:
    """What came of published weights."""

    folder: Path
    used: int  # tensors
    unused: Sequence[str]  # published names
    new: Sequence[str]  # of our parameters that keep their initial weights

    def summary(self) -> dict[str, Any]:
        return {"loaded": self.used, "of": self.used + len(self.unused), "unused": self.unused, "new": self.new}

    def __str__(self) -> str:
        total = self.used + len(self.unused)
        fresh = dict.fromkeys(name.partition(".")[0] for name in self.new)
        return (
            f"loaded {self.used} of {total} tensors of {self.folder}; not used: {', '.join(self.unused) or 'none'}; "
            f"not in it: {', '.join(fresh) or 'nothing'}"
        )


def bert_size(folder: Path) -> Size:
    """Size of the published BERT in a local Hugging Face folder; RecipeError when it is no BERT."""
    config = read_config(folder)
    return Size(config.width, config.layers, config.heads, config.norm_eps)


@torch.no_grad()
def load_bert(folder: Path, network: nn.Module, words: int) -> Loaded:
    """Copy published weights into an MLIM network whose vocabulary begins with the published `words`.

    The segment embedding of "sentence A", which BERT adds everywhere, goes into the text positions. The rows of the
    vocabulary from `words` on (field markers) are drawn with each dimension's mean and deviation over the published
    words. Raises RecipeError when the widths, the number of positions or the vocabularies don't fit, or when the file
    lacks a weight of the encoder.
    """
    config, published = read_config(folder), _read(folder)
    total, ours = len(published), dict(network.named_parameters())
    _check_vocabulary(folder, published, words)
    taken = _take(folder, config, published)
    for name, tensor in taken.items():
        target = ours[name]
        if name in ("words.weight", "language_head.bias"):
            tensor = torch.cat([tensor[:words], _drawn_like(tensor[:words], len(target) - words)])
        elif name == "text_positions.weight":
            tensor = tensor[: len(target)]
        if tensor.shape != target.shape:
            raise RecipeError(
                f"model.bert: {folder}: {name} is {tuple(tensor.shape)}, expected {tuple(target.shape)} by its "
                "config.json and tokens.max_length; give a folder whose files belong together"
            )
        target.copy_(tensor)
    return Loaded(folder, total - len(published), sorted(published), [name for name in ours if name not in taken])


def _take(folder: Path, config: Published, published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters, out of the published tensors, which stay there if they are of no use."""
    taken = {}
    for name, source in published_names(config.layers).items():
        missing = [part for part in source if part not in published]
        if not missing:
            taken[name] = torch.cat([published.pop(part).float() for part in source])
        elif not name.startswith("language_head"):  # encoders are published without their head, too
            raise RecipeError(f"model.bert: {folder} has no tensor {missing[0]}; give a folder with all of a BERT's")
    positions = taken["text_positions.weight"][config.unused_positions :]
    segments = published.pop("embeddings.token_type_embeddings.weight", torch.zeros(1, positions.shape[1]))
    return taken | {"text_positions.weight": positions + segments[0]}


def _check_vocabulary(folder: Path, published: dict[str, Tensor], words: int) -> None:
    """Tables may be longer than the vocabulary, by unused rows: to a multiple of 8, or of 64."""
    rows = len(published.get("embeddings.word_embeddings.weight", ()))
    if rows and not words <= rows < words + 128:
        raise RecipeError(
            f"model.bert: {folder} has embeddings of {rows} words, tokens.tokenizer has {words} words: it is another "
            "model's; leave tokens.tokenizer out, so that it is taken from model.bert"
        )


def _drawn_like(rows_VD: Tensor, count: int) -> Tensor:
    """(count, D) rows, normal with the mean and deviation of each column of the given ones."""
    return rows_VD.mean(0) + rows_VD.std(0) * torch.randn(count, *rows_VD.shape[1:])


def _read(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the published weights, by its modern name."""
    file = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if not file:
        raise RecipeError(
            f"model.bert: {folder} has no weights; expected one of {', '.join(WEIGHTS)}, as transformers' "
            "save_pretrained writes them"
        )
    try:
        files = {file.name}
        if file.suffix == ".json":
            files = set(json.loads(file.read_text("utf-8"))["weight_map"].values())
        tensors: dict[str, Tensor] = {}
        for name in sorted(files):
            file = folder / name
            tensors |= load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
        return {_modern(name): tensor for name, tensor in tensors.items()}
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise RecipeError(f"model.bert: {file} can't be read ({reason}); copy or download it again") from None


def _modern(name: str) -> str:
    """A published name without its model's prefix; the files of 2018 say gamma and beta for a norm's weight and bias,
    and RoBERTa has names of its own for the parts of BERT's head."""
    name = re.sub(r"^(bert|roberta)\.", "", name)
    for old, new in (
        (r"\bgamma$", "weight"),
        (r"\bbeta$", "bias"),
        (r"^lm_head\.dense", "cls.predictions.transform.dense"),
        (r"^lm_head\.layer_norm", "cls.predictions.transform.LayerNorm"),
        (r"^lm_head\.bias", "cls.predictions.bias"),
    ):
        name = re.sub(old, new, name)
    return name


def published_names(layers: int) -> dict[str, tuple[str, ...]]:
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
