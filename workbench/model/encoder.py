"""The encoder: BERT as published (post-norm, learnt positions, GELU).

With the same weights its outputs equal Hugging Face's `BertModel` (tests/model/test_bert.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-12  # BERT's


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
