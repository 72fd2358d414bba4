"""Rows -> batches: join by row, decode, mask, collate. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.batch import Batch
from workbench.batches.masking import draw_masks, draw_modality_dropout
from workbench.batches.order import Rows
from workbench.images.augment import colour, draw, draw_pictures, identity
from workbench.images.decode_cpu import Decoder
from workbench.recipe.schema import Augment, Masking, ModalityDropout, NoMasking
from workbench.text.tokens import TokenTable

T = TypeVar("T")
_UNMASKED = NoMasking(policy="none")


@dataclass(frozen=True)
class Listings:
    """The catalog as the model reads it: token ids and pictures, by row."""

    tokens: TokenTable
    pictures: Decoder
    patches: int

    def batch(
        self,
        rows_B: Rows,
        *,
        epoch: int = 0,
        seed: int = 0,
        masking: Masking = _UNMASKED,
        augment: Augment | None = None,
        dropout: ModalityDropout | None = None,
        any_picture: bool = False,
    ) -> Batch:
        """The listings of these rows, masked and augmented as (seed, epoch, row) says; nothing of it by default.

        `any_picture` draws one of a listing's usable pictures likewise, for training; else it is the first.
        """
        keep_text_B, keep_image_B = np.ones((2, len(rows_B)), bool)
        if dropout is not None:
            keep_text_B, keep_image_B = draw_modality_dropout(dropout, seed, epoch, rows_B)
        has_image_B = self.pictures.usable[rows_B]
        # Never both: a listing without a picture keeps its text, one without a text keeps its picture.
        has_text_B = self.tokens.lengths[rows_B] > 0
        keep_text_B = has_text_B & (keep_text_B | ~has_image_B)
        keep_image_B = has_image_B & (keep_image_B | ~has_text_B)
        tokens_BL, real_BL, maskable_BL = self._texts(rows_B, keep_text_B)
        masks = draw_masks(masking, seed, epoch, rows_B, maskable_BL, self.patches, keep_image_B)
        augmentation = draw(augment, seed, epoch, rows_B) if augment else identity(len(rows_B))
        picks = draw_pictures(seed, epoch, rows_B, self.pictures.counts[rows_B]) if any_picture else None
        pixels_BCHW = self.pictures.decode(rows_B, augmentation, picks)
        if augment:
            pixels_BCHW = colour(pixels_BCHW, augmentation)
        pixels_BCHW[~keep_image_B] = 0
        arrays = (rows_B, tokens_BL, real_BL, masks.text_BL, pixels_BCHW, masks.image_BP, keep_image_B, keep_text_B)
        return Batch(*map(torch.from_numpy, arrays))

    def _texts(self, rows_B: Rows, keep_B: NDArray[np.bool_]) -> tuple[Rows, NDArray[np.bool_], NDArray[np.bool_]]:
        """[CLS] text [SEP], padded to the longest: ids, where real, and where ordinary tokens are; each (B, L)."""
        words = self.tokens.tokenizer
        texts = [self.tokens.ids(int(row)) if keep else () for row, keep in zip(rows_B, keep_B, strict=True)]
        tokens_BL = np.full((len(texts), max(map(len, texts)) + 2), words.pad, np.int64)
        real_BL = np.zeros(tokens_BL.shape, bool)
        for i, text in enumerate(texts):
            tokens_BL[i, : len(text) + 2] = [words.cls, *text, words.sep]
            real_BL[i, : len(text) + 2] = True
        return tokens_BL, real_BL, real_BL & ~np.isin(tokens_BL, list(words.special_ids))


def ahead(make: Callable[[int], T], steps: Sequence[int], depth: int = 2) -> Iterator[T]:
    """`make(step)` for each step in order, computed up to `depth` steps ahead in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make, step) for step in steps[:depth]]
        for step in steps[depth:]:
            ready = waiting.pop(0).result()
            waiting.append(pool.submit(make, step))
            yield ready
        for future in waiting:
            yield future.result()
