"""What a listing's words and its picture say of its class as they are: two linear layers beside the network's.

Few labels teach a network little of words that it hardly knows, and a picture's colours are lost in its means
(docs/log.md). All is read from what the network reads, the pieces of the text and the pixels, so it needs no vocabulary
of its own. T letters of a text, F features of the text, E of the picture, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.pooling import PIXELS, cells_of, pixels_of

LETTERS = 16  # bytes of a piece that are read
COUNTED = 8192  # numbers for the words and pairs of words, and as many for runs of letters: several share one
ANGLES = 9  # directions of edges
LOOKS = PIXELS + 64 * ANGLES
TEXT, PICTURE, BOTH = 1, 2, 3  # what a listing has
BOUND = 1  # between words; 0 is nothing, what is more a letter


class Plain(nn.Module):
    """Three say a class: the network, the words, the looks. What each adds to how frequent the class is, is weighed by
    whether a listing has a text, a picture, or both. Nothing here is trained by steps: fitting.py fills the buffers
    once the network is tuned."""

    def __init__(self, classes: int, pieces: int, several: bool) -> None:
        """`pieces`: how many the tokenizer has; `several`: a listing may be in more than one class."""
        super().__init__()
        self.several = several
        self.spelling: Tensor
        self.rarity: Tensor
        self.words: Tensor
        self.looks: Tensor
        self.prior: Tensor
        self.weights: Tensor
        self.register_buffer("spelling", torch.zeros(pieces, LETTERS, dtype=torch.uint8))  # BOUND, letters, 0
        self.register_buffer("rarity", torch.ones(2 * COUNTED))
        self.register_buffer("words", torch.zeros(classes, 2 * COUNTED + 1))  # the last is the bias
        self.register_buffer("looks", torch.zeros(classes, LOOKS + 1))
        self.register_buffer("prior", torch.zeros(classes))  # logits of a class where nothing is known
        self.register_buffer("weights", torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1))  # by `kinds_of`, of the three

    def forward(self, batch: Batch, network_BK: Tensor) -> Tensor:
        """(B, K) logits."""
        with torch.autocast(network_BK.device.type, enabled=False):
            texts_BF, looks_BE = self.texts_of(batch), looks_of(batch)
            words_BK = said_by(self.words, texts_BF)
            # Each class was learnt against all others: of one class, it is their probabilities that are compared.
            words_BK = words_BK if self.several else F.logsigmoid(words_BK)
            three_B3K = torch.stack([network_BK.float(), words_BK, said_by(self.looks, looks_BE)], 1)
            weights_B3 = self.weights.float()[kinds_of(texts_BF, looks_BE)]
            return (weights_B3[:, :, None] * (three_B3K - self.prior)).sum(1) + self.prior

    def texts_of(self, batch: Batch) -> Tensor:
        """(B, F) TF-IDF of words and pairs of words, and of runs of 2 to 4 letters within a word with its bounds; each
        half of length 1, or 0 without any."""
        letters_BT = spelled(self.spelling, batch.shown_BL, batch.text_real_BL)
        words = counts(*words_of_letters(letters_BT))
        runs = counts(*(torch.cat(side, 1) for side in zip(*(runs_of(letters_BT, n) for n in (2, 3, 4)), strict=True)))
        seen_BF = torch.cat([words, runs], 1)
        weighed_BF = torch.where(seen_BF > 0, 1 + seen_BF.clamp(min=1).log(), 0) * self.rarity
        return torch.cat([F.normalize(half, dim=1) for half in weighed_BF.chunk(2, 1)], 1)


def kinds_of(texts_BF: Tensor, looks_BE: Tensor) -> Tensor:
    """(B,) TEXT, PICTURE, BOTH, or 0 for a listing with nothing."""
    return TEXT * (texts_BF != 0).any(1).long() + PICTURE * (looks_BE != 0).any(1).long()


def said_by(layer_KX: Tensor, features_BX: Tensor) -> Tensor:
    """(B, K), the layer's last column being its bias."""
    return F.linear(features_BX, layer_KX[:, :-1].float(), layer_KX[:, -1].float())


def spelled(spelling_VM: Tensor, ids_BL: Tensor, real_BL: Tensor) -> Tensor:
    """(B, T) the letters of a text from the left on, BOUND before, between and after words; then 0."""
    letters_BT = (spelling_VM[ids_BL].long() * real_BL[:, :, None]).flatten(1)
    letters_BT = packed(letters_BT, letters_BT > 0)
    return packed(letters_BT, (letters_BT > 0) & ~((letters_BT == BOUND) & (F.pad(letters_BT, (1, -1)) == BOUND)))


def packed(letters_BT: Tensor, kept_BT: Tensor) -> Tensor:
    """Those that are kept, from the left on."""
    place_BT = (kept_BT.long().cumsum(1) - 1).clamp(min=0)
    return torch.zeros_like(letters_BT).scatter_add(1, place_BT, letters_BT * kept_BT)


def runs_of(letters_BT: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(B, T) a number for the n letters from each place on, and whether they are there and of one word."""
    side_by_side = [F.pad(letters_BT, (-i, i)) for i in range(n)]
    there_BT = (side_by_side[-1] > 0) & (side_by_side[0] > 0)
    for inner_BT in side_by_side[1:-1]:
        there_BT = there_BT & (inner_BT != BOUND)
    number_BT = torch.full_like(letters_BT, n)
    for one_BT in side_by_side:
        number_BT = number_BT * 257 + one_BT
    return spread(number_BT), there_BT


def words_of_letters(letters_BT: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2T) a number for each word, the sum of those of its runs of three, and for each two neighbours; and whether
    there is one."""
    number_BT, there_BT = runs_of(letters_BT, 3)
    nth_BT = (letters_BT == BOUND).long().cumsum(1) - 1
    word_BT = torch.zeros_like(letters_BT).scatter_add(1, nth_BT.clamp(min=0), number_BT * there_BT)
    next_BT = F.pad(word_BT, (-1, 1))
    both_BT = (word_BT > 0) & (next_BT > 0)
    return spread(torch.cat([word_BT, word_BT * 31 + next_BT * 17], 1)), torch.cat([word_BT > 0, both_BT], 1)


def spread(number: Tensor) -> Tensor:
    """Below 2**31, spread evenly (Knuth's multiplicative hash)."""
    return number % (2**31 - 1) * 2654435761 % 2**32 // 2


def counts(number_BX: Tensor, there_BX: Tensor) -> Tensor:
    """(B, COUNTED) how many are there of each number, several of which share a place."""
    none_BC = torch.zeros(number_BX.shape[0], COUNTED, device=number_BX.device)
    return none_BC.scatter_add(1, number_BX // (2**31 // COUNTED), there_BX.float())


def looks_of(batch: Batch) -> Tensor:
    """(B, E) the thumbnail and the colours of `pixels_of`, and edges by place and direction (HOG) of length 1; zeros
    without a picture."""
    pixels_BCHW = batch.pixels_BCHW.float()
    across = F.pad(pixels_BCHW[..., 2:] - pixels_BCHW[..., :-2], (1, 1))
    down = F.pad(pixels_BCHW[..., 2:, :] - pixels_BCHW[..., :-2, :], (0, 0, 1, 1))
    squared = across**2 + down**2
    strongest = squared.argmax(1, keepdim=True)  # of the three colours
    across, down, squared = (of.gather(1, strongest)[:, 0] for of in (across, down, squared))
    # By the angle's double, since an edge from dark to light is the same as one from light to dark.
    cos2, sin2 = (across**2 - down**2) / squared.clamp(min=1e-9), 2 * across * down / squared.clamp(min=1e-9)
    turns_A = torch.arange(ANGLES, device=squared.device)[:, None, None] * (2 * torch.pi / ANGLES)
    towards = (cos2[:, None] * turns_A.cos() + sin2[:, None] * turns_A.sin()).clamp(min=0) ** 6
    cells_8H = cells_of(pixels_BCHW)
    edges_BE = (cells_8H @ (towards * squared.sqrt()[:, None]) @ cells_8H.T).sqrt().flatten(1)
    edges_BE = F.normalize(edges_BE, dim=1) * batch.has_image_B[:, None]
    return torch.cat([pixels_of(batch), edges_BE], 1)
