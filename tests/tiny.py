"""Small networks, batches and catalogs made on the spot, for tests of what reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from workbench.batch import Batch
from workbench.batches.loader import Listings
from workbench.model.encoder import Size
from workbench.model.mlim import Mlim, Shape

PAD, UNK, CLS, SEP, MASK, MARKER = range(6)  # ids from 6 on are words
SHAPE = Shape(Size(32, 2, 4), vocabulary=40, mask_token=MASK, text_positions=12, image_side=16, patch=4)

torch.set_num_threads(1)


def network(dropout: float = 0.0, seed: int = 0, shape: Shape = SHAPE) -> Mlim:
    """A network whose weights are all drawn wide, so that nothing is hidden by zeros and tiny numbers."""
    torch.manual_seed(seed)
    model = Mlim(shape, dropout).eval()
    scatter(model)
    return model


def scatter(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)


def batch(lengths: Sequence[int], masked: Sequence[int] = (), shape: Shape = SHAPE, seed: int = 0) -> Batch:
    """Listings with `lengths` words, the first `masked` of them masked; a third of the image tokens is masked."""
    stream = torch.Generator().manual_seed(seed)
    size, longest = len(lengths), max(lengths) + 2
    tokens_BL = torch.full((size, longest), PAD)
    real_BL, masked_BL = torch.zeros(2, size, longest, dtype=torch.bool)
    for i, length in enumerate(lengths):
        words = torch.randint(MARKER + 1, shape.vocabulary, (length,), generator=stream)
        tokens_BL[i, : length + 2] = torch.cat([torch.tensor([CLS]), words, torch.tensor([SEP])])
        real_BL[i, : length + 2] = True
        masked_BL[i, 1 : 1 + (masked[i] if masked else 0)] = True
    return Batch(
        rows_B=torch.arange(size),
        tokens_BL=tokens_BL,
        shown_BL=tokens_BL.masked_fill(masked_BL, shape.mask_token),
        text_real_BL=real_BL,
        text_masked_BL=masked_BL,
        pixels_BCHW=torch.randint(256, (size, 3, shape.image_side, shape.image_side), generator=stream).byte(),
        image_masked_BP=torch.rand(size, shape.grid**2, generator=stream) < 1 / 3,
        has_image_B=torch.ones(size, dtype=torch.bool),
        has_text_B=torch.ones(size, dtype=torch.bool),
    )


@dataclass(frozen=True)
class Words:
    """As much of a tokenizer as a loader needs."""

    pad: int = PAD
    cls: int = CLS
    sep: int = SEP
    mask: int = MASK
    special_ids: frozenset[int] = frozenset(range(MARKER + 1))


class Texts:
    """As much of a `TokenTable`: ids by row, held in a list."""

    def __init__(self, ids: Sequence[Sequence[int]]) -> None:
        self._ids = [np.array(row, np.uint16) for row in ids]
        self.lengths = np.array([len(row) for row in ids])
        self.tokenizer = Words()

    def ids(self, row: int) -> np.ndarray:
        return self._ids[row]


@dataclass
class Pictures:
    """As much of a `Decoder`: pixels by row, held in an array."""

    pixels_NCHW: np.ndarray
    usable: np.ndarray
    asked: list[Any] = field(default_factory=list)  # the augmentations
    picked: list[Any] = field(default_factory=list)  # which of a row's pictures

    @property
    def counts(self) -> np.ndarray:
        return 3 * self.usable

    @property
    def side(self) -> int:
        return self.pixels_NCHW.shape[-1]

    def start(
        self, rows: np.ndarray, augmentation: Any, picks: Any = None, side: int | None = None
    ) -> Callable[[], np.ndarray]:
        self.asked.append(augmentation)
        self.picked.append(picks)
        return lambda: self.pixels_NCHW[rows][:, :, :side, :side].copy()


def listings(ids: Sequence[Sequence[int]], usable: Sequence[bool], side: int = 4, patch: int = 2) -> Listings:
    """Texts, and pictures in one colour each (row + 1), where there are pictures."""
    rows = np.arange(1, len(ids) + 1, dtype=np.uint8) * np.array(usable, np.uint8)
    pixels = np.broadcast_to(rows[:, None, None, None], (len(ids), 3, side, side))
    return Listings(Texts(ids), Pictures(pixels, np.array(usable)), patch)  # type: ignore[arg-type]
