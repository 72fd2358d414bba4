"""MLIM on one page (Arici et al. 2021, arXiv 2109.12178).

A shallow CNN embeds the picture, one BERT reads text and image tokens in one sequence ([CLS] text [SEP] image), a
language head says the masked tokens and a decoder redraws the whole picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.model.compiled import compile_parts, compiled
from workbench.model.dropout import Dropout
from workbench.model.encoder import Encoder, Size
from workbench.model.vision import EMBEDDERS, ImageDecoder, fit_positions
from workbench.recipe.schema import SIZES as NUMBERS

SIZES = {name: Size(*numbers) for name, numbers in NUMBERS.items()}


@dataclass(frozen=True)
class Shape:
    """Everything that fixes the shapes of a model's parameters."""

    size: Size
    vocabulary: int
    mask_token: int
    text_positions: int  # longest text, [CLS] and [SEP] included
    image_side: int
    patch: int
    embedder: str = "cnn"  # a name in EMBEDDERS

    @property
    def grid(self) -> int:
        """Image tokens along a side; P = grid ** 2."""
        return self.image_side // self.patch


class Mlim(nn.Module):
    """The MLIM model. Weights are drawn from the global generator, which the caller seeds."""

    def __init__(self, shape: Shape, dropout: float = 0.1) -> None:
        super().__init__()
        width = shape.size.width
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, width)
        self.text_positions = nn.Embedding(shape.text_positions, width)
        self.image_positions = nn.Embedding(shape.grid**2, width)
        self.image_embedder: nn.Module = EMBEDDERS[shape.embedder](shape.patch, width)
        self.embedding_norm = nn.LayerNorm(width, eps=shape.size.norm_eps)
        self.dropout = Dropout(dropout)
        self.encoder = Encoder(shape.size, dropout)
        self.language_head = LanguageHead(shape.size, shape.vocabulary)
        self.image_decoder = ImageDecoder(shape.patch, width)
        self.apply(_initialise)
        self.register_load_state_dict_pre_hook(_fit_positions)  # type: ignore[no-untyped-call]

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs of the encoder at the text positions (B, L, D) and at the image positions (B, P, D).

        A masked patch gets the embedding of [MASK], the same vector as a masked word's; positions are added after,
        interpolated where the pictures are of another side than the model's. Image positions of a listing
        without a picture can't be attended to.
        """
        text_BLD, image_BPD = self._embed(batch)
        x_BSD = self.dropout(self.embedding_norm(torch.cat([text_BLD, image_BPD], 1)))
        visible_BS = torch.cat([batch.text_real_BL, batch.has_image_B[:, None].expand(batch.image_masked_BP.shape)], 1)
        x_BSD = self.encoder(x_BSD, visible_BS)
        text_length = batch.tokens_BL.shape[1]
        return x_BSD[:, :text_length], x_BSD[:, text_length:]

    def encode_apart(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same, where text attends to text alone and image to image alone: two sequences, since that is less work
        than one under a mask of two blocks."""
        text_BLD, image_BPD = (self.dropout(self.embedding_norm(x)) for x in self._embed(batch))
        every_BP = torch.ones_like(batch.image_masked_BP)
        return self.encoder(text_BLD, batch.text_real_BL), self.encoder(image_BPD, every_BP)

    def encode_pairs(self, batch: Batch, left_n: Tensor, right_n: Tensor, which_2D: Tensor) -> tuple[Tensor, Tensor]:
        """Two of the batch's listings in one sequence, [CLS] text [SEP] text [SEP] image image: (n, D) and (n, D), the
        means of the outputs over the visible positions of the left and of the right one, in float32.

        The positions of the second text and picture start again, as learnt; `which_2D` is added to tell the two apart.
        """
        text_BLD, image_BPD = self._embed(batch)
        seen_BP = batch.has_image_B[:, None].expand(image_BPD.shape[:2])
        texts = [
            (text_BLD[left_n], batch.text_real_BL[left_n]),
            (text_BLD[right_n, 1:], batch.text_real_BL[right_n, 1:]),
        ]
        images = [(image_BPD[of_n], seen_BP[of_n]) for of_n in (left_n, right_n)]
        embedded = [x + which_2D[nth % 2].to(x.dtype) for nth, (x, _) in enumerate([*texts, *images])]
        visible_nS = torch.cat([visible for _, visible in [*texts, *images]], 1)
        x_nSD = self.encoder(self.dropout(self.embedding_norm(torch.cat(embedded, 1))), visible_nS)
        sizes = [x.shape[1] for x in embedded]
        counted_nS1 = visible_nS[:, :, None].float()
        sums = [x.sum(1) for x in torch.split(x_nSD.float() * counted_nS1, sizes, 1)]
        counts = [x.sum(1) for x in torch.split(counted_nS1, sizes, 1)]
        left_nD, right_nD = ((sums[i] + sums[i + 2]) / (counts[i] + counts[i + 2]) for i in (0, 1))
        return left_nD, right_nD

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The embeddings of the text (B, L, D) and of the picture (B, P, D), before norm and dropout."""
        # Words and [MASK] in one lookup, since the gradient of each lookup is as large as the vocabulary.
        ids = F.pad(batch.shown_BL.flatten(), (0, 1), value=self.shape.mask_token)
        words_ND = self.words(ids)
        text_BLD = words_ND[:-1].view(*batch.shown_BL.shape, -1) + self.text_positions.weight[: batch.shown_BL.shape[1]]
        image_BPD = self.image_embedder(batch.pixels_BCHW.float() / 255, batch.image_masked_BP)
        image_BPD = torch.where(batch.image_masked_BP[:, :, None], words_ND[-1].to(image_BPD.dtype), image_BPD)
        return text_BLD, image_BPD + fit_positions(self.image_positions.weight, math.isqrt(image_BPD.shape[1]))

    def compile(self, **how: Any) -> None:
        """Part by part: a layer's code is compiled once for all layers, in seconds; other lengths, batches and sides of
        pictures compile nothing again. The decoder stays as it is: its convolutions are what takes the time, and
        inductor can't order their strides on an open grid."""
        compile_parts(*self.encoder.layers, self.image_embedder, self.language_head, **how)

    def set_dropout(self, dropout: float) -> None:
        """Change the rate of every dropout."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout

    def masked_token_logits(self, text_BLD: Tensor, batch: Batch) -> Tensor:
        """(M, V): scores of every word at the masked text positions only."""
        with compiled(len(batch.masked_M) > 1):
            logits_MV: Tensor = self.language_head(text_BLD.flatten(0, 1)[batch.masked_M], self.words.weight)
        return logits_MV

    def draw(self, image_BPD: Tensor) -> Tensor:
        """(B, 3, H, W): the whole picture, masked or not, before the sigmoid."""
        drawn_BCHW: Tensor = self.image_decoder(image_BPD)
        return drawn_BCHW

    def redraw(self, image_BPD: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1]: the whole picture, masked or not."""
        return self.draw(image_BPD).sigmoid()


class LanguageHead(nn.Module):
    """BERT's head for masked tokens; its last matrix is the word embedding."""

    def __init__(self, size: Size, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(size.width, size.width)
        self.norm = nn.LayerNorm(size.width, eps=size.norm_eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x_MD: Tensor, words_VD: Tensor) -> Tensor:
        return F.linear(self.norm(F.gelu(self.dense(x_MD))), words_VD, self.bias)


def _fit_positions(network: nn.Module, weights: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Weights of another picture grid fit after their position embeddings are interpolated; all others fit any grid."""
    assert isinstance(network, Mlim)
    name = f"{prefix}image_positions.weight"
    if name in weights:
        weights[name] = fit_positions(weights[name], network.shape.grid)


def _initialise(module: nn.Module) -> None:
    """BERT's initial weights (normal, 0.02); convolutions keep PyTorch's."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
