"""What plain transformers needs to read a model's folder: config and code.

config.json, processor_config.json, *_mlim.py   AutoModel and AutoProcessor, with trust_remote_code
bert/                                           the encoder of texts as an ordinary BertModel, and its tokenizer
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.catalog.clean.missing import words_for_nothing
from workbench.export.inline import inlined
from workbench.model.bert import published_names
from workbench.model.mlim import Shape
from workbench.model.shape import CNN, resnet_channels
from workbench.recipe.schema import Clean
from workbench.tasks.network import WEIGHTS, read_shape
from workbench.tasks.tuned import ANSWERS, read_answers
from workbench.text.for_transformers import write_tokenizer
from workbench.text.tokenizer import VOCABULARY

CODE = Path(__file__).with_name("code")
CLASSES = {
    "AutoConfig": "configuration_mlim.MlimConfig",
    "AutoModel": "modeling_mlim.MlimModel",
    "AutoModelForSequenceClassification": "modeling_mlim.MlimForSequenceClassification",
}


def write_code(folder: Path) -> None:
    """Add to a portable folder what AutoModel and AutoProcessor read."""
    shape, _ = read_shape(folder)
    answers = read_answers(folder) if (folder / ANSWERS).is_file() else {}
    for file in CODE.glob("*_mlim.py"):
        (folder / file.name).write_text(inlined(file), "utf-8")
    _write(folder / "config.json", config_of(shape, answers))
    clean = Clean.model_validate_json(json.dumps(json.loads((folder / "preparation.json").read_text("utf-8"))["clean"]))
    processor = {
        "processor_class": "MlimProcessor",
        "auto_map": {"AutoProcessor": "processing_mlim.MlimProcessor"},
        "missing": {k: sorted(words_for_nothing(k, clean)) if clean.placeholders else [] for k in ("title", "text")},
    }
    _write(folder / "processor_config.json", processor)


def config_of(shape: Shape, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What config.json holds."""
    channels = {"cnn": CNN.get(shape.patch, ()), "patches": (), "resnet": resnet_channels(shape.patch)}
    return {
        **{"model_type": "mlim", "architectures": ["MlimModel"], "auto_map": CLASSES, "torch_dtype": "float32"},
        **_sizes(shape),
        **{"image_size": shape.image_side, "patch_size": shape.patch},
        **{"embedder": shape.embedder, "channels": channels[shape.embedder]},
        **{"head_width": shape.size.width, "answers": answers},
        **(_classes(answers["classify"]) if "classify" in answers else {}),
    }


def _sizes(shape: Shape) -> dict[str, Any]:
    """As BERT names them."""
    size = shape.size
    return {
        **{"vocab_size": shape.vocabulary, "hidden_size": size.width, "num_hidden_layers": size.layers},
        **{"num_attention_heads": size.heads, "layer_norm_eps": size.norm_eps},
        "max_position_embeddings": shape.text_positions,
    }


def _classes(told: Mapping[str, Any]) -> dict[str, Any]:
    kind = "single_label_classification" if told["several"] is None else "multi_label_classification"
    names = {str(i): name for i, name in enumerate(told["classes"])}
    return {"problem_type": kind, "id2label": names, "label2id": {name: int(i) for i, name in names.items()}}


def write_bert(folder: Path) -> None:
    """Add `bert/`: a BertModel whose outputs are the encoder's on a text alone.

    Segments add nothing, and the pooler, which the encoder lacks, is the tanh of [CLS].
    """
    out, (shape, dropout) = folder / "bert", read_shape(folder)
    write_tokenizer(folder, out)
    width, tensors = shape.size.width, load_file(folder / WEIGHTS)
    published: dict[str, Tensor] = {}
    for ours, names in published_names(shape.size.layers).items():
        if not ours.startswith("language_head"):
            published |= dict(zip(names, tensors[ours].chunk(len(names)), strict=True))
    published["embeddings.token_type_embeddings.weight"] = torch.zeros(2, width)
    published |= {"pooler.dense.weight": torch.eye(width), "pooler.dense.bias": torch.zeros(width)}
    tensors = {name: tensor.contiguous() for name, tensor in published.items()}
    save_file(tensors, out / WEIGHTS, {"format": "pt"})
    (out / WEIGHTS).chmod(0o644)  # the library keeps it to its owner
    special = json.loads((folder / VOCABULARY).read_text())["special"]
    config = {
        **{"model_type": "bert", "architectures": ["BertModel"], "torch_dtype": "float32", **_sizes(shape)},
        **{"intermediate_size": 4 * width, "hidden_act": "gelu", "type_vocab_size": 2, "pad_token_id": special["pad"]},
        **{"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": 0.0},
    }
    _write(out / "config.json", config)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
