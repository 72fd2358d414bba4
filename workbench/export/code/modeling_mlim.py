"""MLIM (arXiv 2109.12178) for transformers: one BERT reads a listing's text and picture in one sequence, heads answer.

Letters of shapes: B listings, L text positions, P patches, S = L + P, D width, C colours, H and W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import ModelOutput, cached_file

from workbench.answers.answers import placed
from workbench.export.code.configuration_mlim import MlimConfig
from workbench.export.onnx import answered
from workbench.tasks.heads import head_of
from workbench.tasks.tuned import Tuned

HEADS = "head.safetensors"


@dataclass
class Read:
    """Listings as the model reads them."""

    shown_BL: Tensor  # token ids
    text_real_BL: Tensor  # bool, False on padding
    pixels_BCHW: Tensor | None  # from 0 to 255
    has_image_B: Tensor  # bool


@dataclass
class MlimOutput(ModelOutput):
    embeddings: Tensor | None = None  # (B, D), each of length 1: what is searched by
    pooler_output: Tensor | None = None  # means over the encoder's outputs, which the heads read
    scores: dict[str, Tensor] | None = None  # of each task's head: logits, or points of length 1


class Layer(nn.Module):
    """One of BERT's: x = norm(x + attention(x)); x = norm(x + mlp(x))."""

    def __init__(self, config: MlimConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x_BSD: Tensor, visible_B11S: Tensor) -> Tensor:
        q, k, v = self.qkv(x_BSD).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=visible_B11S)
        x_BSD = self.attention_norm(x_BSD + self.out(attended.transpose(1, 2).flatten(2)))
        normed: Tensor = self.mlp_norm(x_BSD + self.down(F.gelu(self.up(x_BSD))))
        return normed


class Encoder(nn.Module):
    def __init__(self, config: MlimConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x_BSD: Tensor, visible_BS: Tensor) -> Tensor:
        for layer in self.layers:
            x_BSD = layer(x_BSD, visible_BS[:, None, None])
        return x_BSD


class PositionNorm(nn.LayerNorm):
    """Over the channels at each place of a map."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchwiseEmbedder(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, P, D), each patch by itself: the paper's CNN, or one matrix (ViLT)."""

    def __init__(self, config: MlimConfig) -> None:
        super().__init__()
        self.patch, width = config.patch_size, config.hidden_size
        if config.embedder == "patches":
            self.layers: nn.Module = nn.Conv2d(3, width, self.patch, stride=self.patch)
            return
        layers: list[nn.Module] = []
        for before, after in pairwise([3, *config.channels]):
            layers += [nn.Conv2d(before, after, 2, stride=2), PositionNorm(after), nn.GELU()]
        last = config.channels[-1]
        layers += [nn.Conv2d(last, last, 1), PositionNorm(last), nn.GELU(), nn.Conv2d(last, width, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        embedded: Tensor = self.layers(pixels_BCHW)  # its strides are its sides: nothing mixes across patches
        return embedded.flatten(2).transpose(1, 2)


class Block(nn.Module):
    """ResNet-18's, with GroupNorm; names of parameters as in torchvision."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.GroupNorm(after // 16, after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.GroupNorm(after // 16, after)
        shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False)
        self.downsample = nn.Sequential(shortcut, nn.GroupNorm(after // 16, after))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.downsample(x))


class ResNetEmbedder(nn.Module):
    def __init__(self, config: MlimConfig) -> None:
        super().__init__()
        channels, halvings = config.channels, int(math.log2(config.patch_size))
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 3, stride=2, padding=1, bias=False)]
        layers += [nn.GroupNorm(channels[0] // 16, channels[0]), nn.ReLU()]
        for nth, (before, after) in enumerate(pairwise(channels), 1):
            layers.append(Block(before, after, 2 if nth < halvings else 1))
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], config.hidden_size, 1))

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        embedded: Tensor = self.layers(pixels_BCHW)
        return embedded.flatten(2).transpose(1, 2)


class MlimModel(PreTrainedModel):
    """What AutoModel gives. `embeddings` are what `mlim embed` writes, `scores` what each task's head says."""

    config_class = MlimConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _keys_to_ignore_on_load_unexpected: ClassVar = [r"^language_head\.", r"^image_decoder\."]  # for pre-training
    _keys_to_ignore_on_load_missing: ClassVar = [r"^heads\."]  # in a file of their own

    def __init__(self, config: MlimConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.text_positions = nn.Embedding(config.max_position_embeddings, width)
        self.image_positions = nn.Embedding((config.image_size // config.patch_size) ** 2, width)
        self.image_embedder = (ResNetEmbedder if config.embedder == "resnet" else PatchwiseEmbedder)(config)
        self.embedding_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.encoder = Encoder(config)
        self.heads = nn.ModuleDict({t: head_of(t, config.head_width, told) for t, told in config.answers.items()})
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **how: Any) -> Any:
        """Heads have a file of their own where `mlim export` wrote the folder, none where `save_pretrained` did."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **how)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        hub = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
        found = {key: how[key] for key in hub if key in how}
        if path := cached_file(
            pretrained_model_name_or_path, HEADS, **found, _raise_exceptions_for_missing_entries=False
        ):
            model.heads.load_state_dict(load_file(path), assign=True)  # they may be without memory until now
            model.heads.to(model.words.weight.device, model.words.weight.dtype)
        return loaded

    @property
    def network(self) -> MlimModel:
        """It is its own network."""
        return self

    def encode(self, read: Read) -> tuple[Tensor, Tensor]:
        """Outputs at the positions of the text (B, L, D) and of the picture (B, P, D): zeros for P = 1 without any."""
        x_BSD = self.words(read.shown_BL) + self.text_positions.weight[: read.shown_BL.shape[1]]
        visible_BS, length = read.text_real_BL, read.shown_BL.shape[1]
        if read.pixels_BCHW is not None:
            image_BPD = self.image_embedder(read.pixels_BCHW.to(x_BSD.dtype) / 255) + self.image_positions.weight
            x_BSD = torch.cat([x_BSD, image_BPD], 1)
            visible_BS = torch.cat([visible_BS, read.has_image_B[:, None].expand(image_BPD.shape[:2])], 1)
        x_BSD = self.encoder(self.embedding_norm(x_BSD), visible_BS)
        text_BLD, image_BPD = x_BSD[:, :length], x_BSD[:, length:]
        return text_BLD, image_BPD if read.pixels_BCHW is not None else torch.zeros_like(text_BLD[:, :1])

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        has_image: Tensor | None = None,
        **_: Any,
    ) -> MlimOutput:
        """input_ids, attention_mask (B, L); pixel_values (B, 3, H, W) from 0 to 255; has_image (B,) bool: all have one
        by default, none where there are no pixels."""
        real_BL = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if pixel_values is None:
            side = self.config.image_size
            pixel_values = torch.zeros(input_ids.shape[0], 3, side, side, device=input_ids.device)
            has_image = torch.zeros_like(input_ids[:, 0])
        has_image_B = torch.ones_like(input_ids[:, 0]) if has_image is None else has_image
        read: Any = Read(input_ids, real_BL.bool(), pixel_values, has_image_B.bool())
        tuned: Any = self  # which it is but for its class
        pooled = Tuned.pooled(tuned, read).to(self.dtype)
        scores = {task: Tuned.said(tuned, task, read, pooled) for task in answered(tuned)}
        return MlimOutput(placed(tuned, pooled), pooled, scores)

    def match(self, left: Tensor, right: Tensor) -> Any:
        """(n,) calibrated probabilities that two are the same product; `left`, `right` are `scores["match"]` (n, D)."""
        head: Any = self.heads["match"]
        log_odds, told = head.scores(left, right), self.config.answers["match"]["calibration"]
        return torch.sigmoid(told["scale"] * log_odds.double() + told["shift"])


class MlimForSequenceClassification(MlimModel):
    """The classify head alone, as transformers has it: softmax of the logits (sigmoid where `config.problem_type` is
    "multi_label_classification") gives the probabilities of `config.id2label`, calibrated."""

    def forward(self, *args: Any, labels: Tensor | None = None, **inputs: Any) -> Any:
        scores: Any = super().forward(*args, **inputs).scores
        logits = scores["classify"] / self.config.answers["classify"]["temperature"]
        loss = None
        if labels is not None:
            several = self.config.problem_type == "multi_label_classification"
            measure = F.binary_cross_entropy_with_logits if several else F.cross_entropy
            loss = measure(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
