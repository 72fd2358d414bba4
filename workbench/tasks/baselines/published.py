"""Published models, frozen: what makes vectors of texts, of pictures, or of both in one space."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.errors import RecipeError
from workbench.tasks.baselines.check import KEY, MODULES, OPEN_CLIP, told

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = NDArray[np.float32]
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "*/*.json", "*/*.safetensors", "*/*.txt"]
_OLD = [*_FILES, "*.bin", "*/*.bin"]  # published before there was safetensors
_WORDS = 512  # tokens of a text, where the model says nothing


@dataclass(frozen=True)
class Embedder:
    """(n, d) of n texts or pictures; None for a modality that the model doesn't read."""

    texts: Callable[[Sequence[str]], Any] | None = None
    pictures: Callable[[Sequence[Image]], Any] | None = None


def folder_of(named: Path) -> Path:
    """The model's folder; a name on the hub is fetched by its library, into its own cache."""
    if named.is_absolute():
        return named
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(str(named), allow_patterns=_FILES))
        if not any(folder.rglob("*.safetensors")):
            folder = Path(snapshot_download(str(named), allow_patterns=_OLD))
    except Exception as error:  # a dozen kinds, of the hub, the network and the disk
        raise RecipeError(
            f"{KEY}: {named} is no folder beside the recipe, and can't be had from the Hugging Face hub under that "
            f"name ({told(error)}); correct it, or give a folder"
        ) from None
    return folder


def load(named: Path, folder: Path, device: torch.device) -> Embedder:
    """Raises RecipeError, naming the model, where a library can't read it."""
    with _told_of(named):
        if (folder / MODULES).exists():
            return _sentences(folder, device)
        return _open_clip(folder, device) if (folder / OPEN_CLIP).exists() else _automatic(folder, device)


@contextmanager
def _told_of(named: Path) -> Any:
    try:
        yield
    except Exception as error:  # of three libraries
        raise RecipeError(
            f"{KEY}: {named} can't be read ({told(error)}); give a model that its library reads"
        ) from None


def _sentences(folder: Path, device: torch.device) -> Embedder:
    """As its modules say: by their library where that is installed, else words, pooling and length by transformers."""
    if find_spec("sentence_transformers") is None:
        return Embedder(texts=_pooled(folder, device, _pooling(folder)))
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device=str(device), local_files_only=True).float()
    encode = lambda items: model.encode(list(items), show_progress_bar=False)  # noqa: E731
    sees = "image" in getattr(model, "modalities", ()) or "CLIP" in (folder / MODULES).read_text("utf-8")
    return Embedder(encode, encode if sees else None)


def _pooling(folder: Path) -> str:
    """mean, cls or max. Raises RecipeError for other modules than words, pooling and normalising."""
    modules = {m["type"].rpartition(".")[2]: m["path"] for m in json.loads((folder / MODULES).read_text("utf-8"))}
    if "Pooling" in modules and set(modules) <= {"Transformer", "Pooling", "Normalize"}:
        config = json.loads((folder / modules["Pooling"] / "config.json").read_text("utf-8"))
        modes = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
        found = config.get("pooling_mode") or "".join(re.findall(r"pooling_mode_(mean|cls|max)_token", " ".join(modes)))
        if found in ("mean", "cls", "max"):
            return str(found)
    raise RecipeError(f"{', '.join(modules)}: needs `pip install 'mlim[embeddings]'`")


def _open_clip(folder: Path, device: torch.device) -> Embedder:
    """marqo-ecommerce, laion's and others whose weights open_clip reads."""
    import open_clip

    name = f"local-dir:{folder}"
    model, prepare = open_clip.create_model_from_pretrained(name, device=str(device))
    words = open_clip.get_tokenizer(name)
    model.eval()

    def texts(items: Sequence[str]) -> Any:
        return model.encode_text(words(list(items)).to(device))

    return Embedder(texts, lambda items: model.encode_image(torch.stack([prepare(i) for i in items]).to(device)))


def _automatic(folder: Path, device: torch.device) -> Embedder:
    """Two encoders (CLIP, SigLIP, …), a text encoder, or one of pictures, as AutoModel finds it."""
    from transformers import AutoImageProcessor, AutoModel

    processor: Any = AutoImageProcessor

    model = AutoModel.from_pretrained(str(folder), local_files_only=True).float().to(device).eval()
    two = hasattr(model, "get_text_features") and hasattr(model, "get_image_features")
    if not two and model.main_input_name == "input_ids":
        return Embedder(texts=_pooled(folder, device, "mean", model))
    prepare = processor.from_pretrained(str(folder), local_files_only=True)

    def pictures(items: Sequence[Image]) -> Any:
        inputs = prepare(images=list(items), return_tensors="pt").to(device)
        if two:
            return _vectors(model.get_image_features(**inputs))
        hidden = model(**inputs).last_hidden_state
        return hidden.mean((2, 3) if hidden.ndim == 4 else 1)  # a pooler's own weights are often not published

    if not two:
        return Embedder(pictures=pictures)
    read = _reader(folder, device, model)
    return Embedder(lambda items: _vectors(model.get_text_features(**read(items))), pictures)


def _vectors(out: Any) -> torch.Tensor:
    """Of transformers before 5 the tensor itself."""
    vectors: torch.Tensor = out if isinstance(out, torch.Tensor) else out.pooler_output
    return vectors


def _pooled(folder: Path, device: torch.device, pooling: str, model: Any = None) -> Callable[[Sequence[str]], Any]:
    from transformers import AutoModel

    model = model or AutoModel.from_pretrained(str(folder), local_files_only=True).float().to(device).eval()
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    read = _reader(folder, device, model)

    def texts(items: Sequence[str]) -> Any:
        inputs = read(items)
        hidden_BLD, real_BL1 = model(**inputs).last_hidden_state, inputs["attention_mask"][:, :, None].bool()
        if pooling == "cls":
            return hidden_BLD[:, 0]
        if pooling == "max":
            return hidden_BLD.masked_fill(~real_BL1, -torch.inf).amax(1)
        return (hidden_BLD * real_BL1).sum(1) / real_BL1.sum(1)

    return texts


def _reader(folder: Path, device: torch.device, model: Any) -> Callable[[Sequence[str]], Any]:
    """Texts as the model's tokenizer gives them, no longer than the model reads."""
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    config = getattr(model.config, "text_config", model.config)
    sentences = folder / "sentence_bert_config.json"
    told = json.loads(sentences.read_text("utf-8")).get("max_seq_length") if sentences.exists() else None
    longest = min(told or _WORDS, words.model_max_length, getattr(config, "max_position_embeddings", _WORDS))
    how = {"truncation": True, "max_length": longest, "return_tensors": "pt"}
    if model.config.model_type.startswith("siglip"):  # which learnt from texts padded so, and looks at the padding
        return lambda items: {"input_ids": words(list(items), padding="max_length", **how)["input_ids"].to(device)}
    return lambda items: words(list(items), padding=True, **how).to(device)
