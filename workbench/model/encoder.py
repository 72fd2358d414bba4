"""The encoder: BERT as published (post-norm, learnt positions, GELU).

With the same weights its outputs equal Hugging Face's `BertModel` (tests/model/test_bert.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.model.dropout import Dropout


@dataclass(frozen=True)
class Size:
    """Width, layers and heads of an encoder, and what its norms add to a variance; the inner width is four times the
    width."""

    width: int
    layers: int
    heads: int
    norm_eps: float = 1e-12  # BERT's


class Layer(nn.Module):
    """One post-norm transformer layer: x = norm(x + attention(x)); x = norm(x + mlp(x))."""

    def __init__(self, size: Size, dropout: float) -> None:
        super().__init__()
        self.heads = size.heads
        self.qkv = nn.Linear(size.width, 3 * size.width)
        self.out = nn.Linear(size.width, size.width)
        self.attention_norm = nn.LayerNorm(size.width, eps=size.norm_eps)
        self.up = nn.Linear(size.width, 4 * size.width)
        self.down = nn.Linear(4 * size.width, size.width)
        self.mlp_norm = nn.LayerNorm(size.width, eps=size.norm_eps)
        self.dropout = Dropout(dropout)

    def forward(self, x_BSD: Tensor, bias_B11S: Tensor) -> Tensor:
        # Copied once as (3, B, H, S, D/H): else each of the products copies its own.
        qkv_3BHSD = self.qkv(x_BSD).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).contiguous()
        q_BHSD, k_BHSD, v_BHSD = qkv_3BHSD
        attended_BHSD = attend(q_BHSD, k_BHSD, v_BHSD, bias_B11S)
        x_BSD = self.attention_norm(x_BSD + self.dropout(self.out(attended_BHSD.transpose(1, 2).flatten(2))))
        x_BSD = self.mlp_norm(x_BSD + self.dropout(self.down(F.gelu(self.up(x_BSD)))))
        return x_BSD


def attend(q_BHSD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, bias_B11S: Tensor) -> Tensor:
    """Attention with a bias on the scores: 0 where a position is visible, else -inf. On the CPU in three steps, whose
    backward in bf16 takes less than half the time of PyTorch's fused kernel (docs/log.md)."""
    if q_BHSD.is_cuda:
        return F.scaled_dot_product_attention(q_BHSD, k_BHSD, v_BHSD, attn_mask=bias_B11S.to(q_BHSD.dtype))
    scores_BHSS = (q_BHSD * q_BHSD.shape[-1] ** -0.5) @ k_BHSD.transpose(-1, -2)
    weights_BHSS = (scores_BHSS + bias_B11S).softmax(-1)  # in float32, since the bias is
    return torch.matmul(weights_BHSS.to(v_BHSD.dtype), v_BHSD)


class Encoder(nn.Module):
    """A stack of layers over one sequence of text and image embeddings.

    Attention dropout is left out: PyTorch's fused CPU kernel has none, and the two other dropouts stay.
    """

    def __init__(self, size: Size, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(size, dropout) for _ in range(size.layers))
        self.recompute = False  # keep no activations within layers: compute them again in the backward pass

    def forward(self, x_BSD: Tensor, visible_BS: Tensor) -> Tensor:
        """(B, S, D) and True where a position may be attended to -> (B, S, D)."""
        bias_B11S = torch.zeros(visible_BS.shape, device=x_BSD.device).masked_fill_(~visible_BS, -torch.inf)[
            :, None, None
        ]
        for layer in self.layers:
            if self.recompute and torch.is_grad_enabled():
                x_BSD = checkpoint(layer, x_BSD, bias_B11S, use_reentrant=False)
            else:
                x_BSD = layer(x_BSD, bias_B11S)
        return x_BSD
