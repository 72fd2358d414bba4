"""Published BERT weights: where they lie, and what their config.json says of them, before any weight is read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from workbench.errors import RecipeError
from workbench.recipe.schema import SIZES, Model

WORD_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
CONFIG = "config.json"
# The first of these that is there is read; an index names the files of weights in several.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_SAFE, _OLD = ("model*.safetensors", WEIGHTS[1]), ("pytorch_model*.bin", WEIGHTS[3])

_NUMBERS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
# Model types that differ from BERT by names and the first position alone: the number of positions left unused.
_UNUSED_POSITIONS = {"bert": 0, "roberta": 2, "xlm-roberta": 2, "camembert": 2}
_OTHERS = {
    "modernbert": "it has rotary positions, norms before its layers and gated units",
    "distilbert": "it is published under other names, and without segments",
    "albert": "its layers share one set of weights, and its embeddings are narrower",
    "electra": "it tells replaced words, and its small embeddings are narrower",
    "deberta": "its attention is over relative positions",
    "deberta-v2": "its attention is over relative positions",
    "mpnet": "its attention has relative positions",
    "t5": "it is an encoder with a decoder",
    "gpt2": "it is a decoder",
}


@dataclass(frozen=True)
class Published:
    """The architecture that a config.json tells."""

    width: int
    layers: int
    heads: int
    norm_eps: float
    positions: int  # that a text may have
    unused_positions: int  # rows of the table before the first


def folder_of(key: str, named: Path) -> Path:
    """The folder of published files: `named` where it is absolute, else a name on the Hugging Face hub, whose files
    come from the cache of its library (HF_HOME), or into it. RecipeError where they are not to be had."""
    if named.is_absolute():
        return named
    from huggingface_hub import snapshot_download

    weights = key == "model.bert"
    try:
        folder = Path(snapshot_download(str(named), allow_patterns=[CONFIG, *WORD_FILES, *(_SAFE if weights else ())]))
        if weights and not any(folder.glob("model*.safetensors")):  # published before there was safetensors
            folder = Path(snapshot_download(str(named), allow_patterns=list(_OLD)))
    except Exception as error:  # a dozen kinds, of the hub, the network and the disk
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RecipeError(
            f"{key}: {named} is no folder beside the recipe, and can't be had from the Hugging Face hub under that "
            f"name ({reason}); correct it, or give a folder with the files of a BERT"
        ) from None
    return folder


def no_words(path: str) -> bool:
    """Whether a file, or folder, in such a folder says nothing of its words: then it must not change their key."""
    return os.path.basename(path) not in WORD_FILES


def no_weights(path: str) -> bool:
    """Whether it is of no use at all."""
    return no_words(path) and not any(fnmatch(os.path.basename(path), p) for p in (CONFIG, *_SAFE, *_OLD))


def read_config(folder: Path) -> Published:
    """What the config of the published weights in a folder says; RecipeError when it is of no BERT."""
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it holds no keys")
    except (OSError, ValueError) as error:
        raise RecipeError(f"model.bert: {file} can't be read ({error}); give the folder of a BERT") from None
    kind = config.get("model_type")
    if kind not in _UNUSED_POSITIONS:
        why = f": {_OTHERS[kind]}" if kind in _OTHERS else ""
        raise RecipeError(
            f"model.bert: {folder} holds a {kind!r}, which this encoder can't be{why}; expected one of "
            f"{', '.join(_UNUSED_POSITIONS)} (also MiniLM's, published as bert or xlm-roberta)"
        )
    for key in _NUMBERS:
        if not isinstance(config.get(key), int):
            raise RecipeError(f"model.bert: {file}: {key} is {config.get(key)!r}; expected a whole number")
    width, layers, heads, positions = (config[key] for key in _NUMBERS)
    expected = {
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "intermediate_size": 4 * width,
        "is_decoder": False,
    }
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise RecipeError(f"model.bert: {file}: {key} is {config[key]!r}; expected {value!r}, as in BERT")
    unused = _UNUSED_POSITIONS[kind]
    return Published(width, layers, heads, config.get("layer_norm_eps", 1e-12), positions - unused, unused)


def check_fits(model: Model, folder: Path, max_length: int) -> None:
    """RecipeError where the recipe names another size, or asks for longer texts than the published weights have."""
    found = read_config(folder)
    size = (found.width, found.layers, found.heads)
    if "size" in model.model_fields_set and model.size and SIZES[model.size] != size:
        shown = ["{} wide, {} layers, {} heads".format(*one) for one in (SIZES[model.size], size)]
        raise RecipeError(
            f"model.size: {model.size} is {shown[0]}, model.bert ({folder}) is {shown[1]}; leave model.size out, or "
            "set it to null"
        )
    if max_length > found.positions:
        raise RecipeError(
            f"tokens.max_length is {max_length}, model.bert ({folder}) has {found.positions} positions; give "
            f"{found.positions} or less"
        )
