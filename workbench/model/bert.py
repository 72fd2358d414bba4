"""The encoder: BERT as published (post-norm, learnt positions, GELU), and published weights into it.

With the same weights its outputs equal Hugging Face's `BertModel` (tests/model/test_bert.py). Names of parameters
are our own; `load_bert` maps the published ones.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from workbench.errors import RecipeError

NORM_EPS = 1e-12  # BERT's
_BERT = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": NORM_EPS}


@dataclass(frozen=True)
class Size:
    """Width, layers and heads of an encoder; the inner width is four times the width."""

    width: int
    layers: int
    heads: int


class Layer(nn.Module):
    """One post-norm transformer layer: x = norm(x + attention(x)); x = norm(x + mlp(x))."""

    def __init__(self, size: Size, dropout: float) -> None:
        super().__init__()
        self.heads = size.heads
        self.qkv = nn.Linear(size.width, 3 * size.width)
        self.out = nn.Linear(size.width, size.width)
        self.attention_norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        self.up = nn.Linear(size.width, 4 * size.width)
        self.down = nn.Linear(4 * size.width, size.width)
        self.mlp_norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BSD: Tensor, visible_B11S: Tensor) -> Tensor:
        q_BHSD, k_BHSD, v_BHSD = self.qkv(x_BSD).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = _attend(q_BHSD, k_BHSD, v_BHSD, visible_B11S)
        x_BSD = self.attention_norm(x_BSD + self.dropout(self.out(attended.transpose(1, 2).flatten(2))))
        x_BSD = self.mlp_norm(x_BSD + self.dropout(self.down(F.gelu(self.up(x_BSD)))))
        return x_BSD


def _attend(q_BHSD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, visible_B11S: Tensor) -> Tensor:
    """Attention over the visible positions. On the CPU in three steps, whose backward in bf16 takes a sixth of the
    time of PyTorch's fused kernel (docs/log.md)."""
    if q_BHSD.is_cuda:
        return F.scaled_dot_product_attention(q_BHSD, k_BHSD, v_BHSD, attn_mask=visible_B11S)
    scores_BHSS = (q_BHSD * q_BHSD.shape[-1] ** -0.5) @ k_BHSD.transpose(-1, -2)
    weights_BHSS = scores_BHSS.float().masked_fill(~visible_B11S, -torch.inf).softmax(-1)
    return torch.matmul(weights_BHSS.to(v_BHSD.dtype), v_BHSD)


class Encoder(nn.Module):
    """A stack of layers over one sequence of text and image embeddings.

    Attention dropout is left out: PyTorch's fused CPU kernel has none, and the two other dropouts stay.
    """

    def __init__(self, size: Size, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(size, dropout) for _ in range(size.layers))

    def forward(self, x_BSD: Tensor, visible_BS: Tensor) -> Tensor:
        """(B, S, D) and True where a position may be attended to -> (B, S, D)."""
        visible_B11S = visible_BS[:, None, None, :]
        for layer in self.layers:
            x_BSD = layer(x_BSD, visible_B11S)
        return x_BSD


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
