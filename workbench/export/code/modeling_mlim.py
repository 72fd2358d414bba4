"""MLIM (arXiv 2109.12178) for transformers: one BERT reads a listing's text and picture in one sequence, heads answer.

Letters of shapes: B listings, L text positions, P patches, S = L + P, D width, C colours, p pixels of a patch's side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import ModelOutput, cached_file

from .configuration_mlim import MlimConfig

HEADS = "head.safetensors"
PLACING = ("retrieve", "match")  # tasks whose head places a listing on the sphere, best first


@dataclass
class MlimOutput(ModelOutput):  # type: ignore[misc]
    embeddings: Tensor | None = None  # (B, D), each of length 1: what is searched by
    pooler_output: Tensor | None = None  # (B, D), which the heads read
    last_hidden_state: Tensor | None = None  # (B, S, D)
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


class PointHead(nn.Module):
    """A listing as a point of length 1; the score of two is scale * cosine (+ bias), for a match its log odds."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(())) if bias else None

    def forward(self, pooled_BD: Tensor) -> Tensor:
        return F.normalize(self.project(pooled_BD), dim=1)


class ClassHead(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, classes)

    def forward(self, pooled_BD: Tensor) -> Tensor:
        logits: Tensor = self.out(pooled_BD)
        return logits


def head_of(task: str, width: int, told: dict[str, Any]) -> nn.Module | None:
    """None for what mlim alone answers: pairs read in one sequence, attributes said in words."""
    if task in PLACING:
        return PointHead(width, bias=task == "match")
    if task == "fill" and told["answer"] == "classes":
        return ClassHead(width, sum(len(attribute["values"]) for attribute in told["attributes"].values()))
    return ClassHead(width, len(told["classes"])) if task == "classify" else None


class MlimModel(PreTrainedModel):  # type: ignore[misc]
    """What AutoModel gives. `embeddings` are what `mlim embed` writes, `scores` what each task's head says."""

    config_class = MlimConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _keys_to_ignore_on_load_unexpected = (r"^language_head\.", r"^image_decoder\.")  # what pre-training alone needs
    _keys_to_ignore_on_load_missing = (r"^heads\.",)  # in a file of their own

    def __init__(self, config: MlimConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.text_positions = nn.Embedding(config.max_position_embeddings, width)
        self.image_positions = nn.Embedding((config.image_size // config.patch_size) ** 2, width)
        self.image_embedder = (ResNetEmbedder if config.embedder == "resnet" else PatchwiseEmbedder)(config)
        self.embedding_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.encoder = Encoder(config)
        heads = {task: head_of(task, width, told) for task, told in config.answers.items()}
        self.heads = nn.ModuleDict({task: head for task, head in heads.items() if head is not None})
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
            own = dict(model.heads.named_parameters())
            with torch.no_grad():
                for name, tensor in load_file(path).items():
                    if name in own:  # mlim has heads that read two listings at once, too
                        own[name].copy_(tensor)
        return loaded

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor | None, has_image: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Outputs (B, S, D) at the positions of the text, then of the picture, and which may be seen (B, S)."""
        x_BSD = self.words(input_ids) + self.text_positions.weight[: input_ids.shape[1]]
        visible_BS = attention_mask.bool()
        if pixel_values is not None:
            image_BPD = self.image_embedder(pixel_values.to(x_BSD.dtype) / 255) + self.image_positions.weight
            if has_image is None:
                has_image = torch.ones(len(image_BPD), dtype=torch.bool, device=image_BPD.device)
            x_BSD = torch.cat([x_BSD, image_BPD], 1)
            visible_BS = torch.cat([visible_BS, has_image.bool()[:, None].expand(image_BPD.shape[:2])], 1)
        return self.encoder(self.embedding_norm(x_BSD), visible_BS), visible_BS

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
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        x_BSD, visible_BS = self.encode(input_ids, mask, pixel_values, has_image)
        counted_BS1 = visible_BS[:, :, None].float()
        pooled_BD = (x_BSD.float() * counted_BS1).sum(1) / counted_BS1.sum(1)
        scores = {task: head(pooled_BD.to(x_BSD.dtype)) for task, head in self.heads.items()}
        placed = next((scores[task] for task in PLACING if task in scores), pooled_BD)
        return MlimOutput(F.normalize(placed.float(), dim=-1), pooled_BD, x_BSD, scores)

    def match(self, left: Tensor, right: Tensor) -> Tensor:
        """(n,) calibrated probabilities that two are the same product; `left`, `right` are `scores["match"]` (n, D)."""
        head, told = self.heads["match"], self.config.answers["match"]
        log_odds = (left * right).sum(1) * head.scale.exp() + head.bias
        calibration = told["calibration"]
        return torch.sigmoid(calibration["scale"] * log_odds.double() + calibration["shift"])


class MlimForSequenceClassification(MlimModel):
    """The classify head alone, as transformers has it: softmax of the logits (sigmoid where `config.problem_type` is
    "multi_label_classification") gives the probabilities of `config.id2label`, calibrated."""

    def forward(self, *args: Any, labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        logits = super().forward(*args, **inputs).scores["classify"] / self.config.answers["classify"]["temperature"]
        loss = None
        if labels is not None:
            several = self.config.problem_type == "multi_label_classification"
            measure = F.binary_cross_entropy_with_logits if several else F.cross_entropy
            loss = measure(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
