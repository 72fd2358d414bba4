"""Shapes of an MLIM model, and what its heads answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PretrainedConfig


class MlimConfig(PretrainedConfig):
    """`answers`: what each task's numbers mean (classes, temperature, calibration …), by task."""

    model_type = "mlim"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 384,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 6,
        layer_norm_eps: float = 1e-12,
        max_position_embeddings: int = 128,
        image_size: int = 128,
        patch_size: int = 16,
        embedder: str = "cnn",
        channels: Sequence[int] = (32, 64, 128, 192),
        head_width: int = 384,
        answers: Mapping[str, Mapping[str, Any]] | None = None,
        **more: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.layer_norm_eps = layer_norm_eps
        self.max_position_embeddings = max_position_embeddings  # of a text, [CLS] and [SEP] included
        self.image_size = image_size  # pixels
        self.patch_size = patch_size
        self.embedder = embedder
        self.channels = list(channels)  # of the image embedder
        self.head_width = head_width
        self.answers = dict(answers or {})
        super().__init__(**more)
