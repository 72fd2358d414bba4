"""Rows -> batches: join by row, decode, mask, collate. Nothing is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from workbench.batch import Batch
from workbench.batches.masking import Masks, draw_masks, draw_modality_dropout
from workbench.batches.order import Rows
from workbench.batches.units import number, shown, text_units
from workbench.draws import Epoch
from workbench.images.augment import draw, draw_pictures, identity
from workbench.images.decoder import Decoder
from workbench.recipe.schema import Augment, Hiding, Masking, ModalityDropout, NoMasking
from workbench.text.tokens import TokenTable

T = TypeVar("T")
_UNMASKED = NoMasking(policy="none")


@dataclass(frozen=True)
class Hidden:
    """Texts of a batch, and what of them and of the pictures is hidden; see `Batch`."""

    tokens_BL: Rows
    shown_BL: Rows
    real_BL: NDArray[np.bool_]
    units_BL: Rows  # numbers of what is hidden together; 0 for what never is
    masks: Masks


@dataclass(frozen=True)
class Listings:
    """The catalog as the model reads it: token ids and pictures, by row."""

    tokens: TokenTable
    pictures: Decoder
    patch: int  # pixels: side of the square behind one image token
    prefetch: int = 0  # bytes of batches that may be made ahead
    pinned: bool = False  # in memory from which a GPU copies while it computes

    def batch(self, rows_B: Rows, **how: Any) -> Batch:
        """The listings of these rows, now; see `start`."""
        return self.start(rows_B, **how)()

    def batches(self, rows_N: Rows, size: int, **how: Any) -> Iterator[Batch]:
        """These rows in their order, `size` at a time, made ahead; for evaluation."""
        begin = lambda first: self.start(rows_N[first : first + size], **how)  # noqa: E731
        return ahead(begin, range(0, len(rows_N), size), self.steps_ahead(size))

    def start(
        self,
        rows_B: Rows,
        *,
        epoch: Epoch = 0,
        seed: int = 0,
        masking: Masking = _UNMASKED,
        augment: Augment | None = None,
        dropout: ModalityDropout | None = None,
        any_picture: bool = False,
        side: int | None = None,
    ) -> Callable[[], Batch]:
        """Begin the batch of these rows, masked and augmented as (seed, epoch, row) says; nothing of it by default.

        It is there when called; its pictures are decoded meanwhile. `any_picture` draws one of a listing's usable
        pictures likewise, for training; else it is the first. `side` is that of the pictures, if not the decoder's.
        """
        side = side or self.pictures.side
        counts_B = self.pictures.counts[rows_B]
        augmentation = draw(augment, seed, epoch, rows_B) if augment else identity(len(rows_B))
        picks = draw_pictures(seed, epoch, rows_B, counts_B) if any_picture else None
        pixels = self.pictures.start(rows_B, augmentation, picks, side)

        keep_text_B, keep_image_B = np.ones((2, len(rows_B)), bool)
        if dropout is not None:
            keep_text_B, keep_image_B = draw_modality_dropout(dropout, seed, epoch, rows_B)
        # Never both: a listing without a picture keeps its text, one without a text keeps its picture.
        has_image_B, has_text_B = counts_B > 0, self.tokens.lengths[rows_B] > 0
        keep_text_B = has_text_B & (keep_text_B | ~has_image_B)
        keep_image_B = has_image_B & (keep_image_B | ~has_text_B)
        hidden = self.hide(rows_B, keep_text_B, keep_image_B, epoch=epoch, seed=seed, masking=masking, side=side)

        def finish() -> Batch:
            pixels_BCHW = from_dlpack(pixels())
            if (lost_B := has_image_B & ~keep_image_B).any():
                pixels_BCHW[torch.from_numpy(lost_B).to(pixels_BCHW.device)] = 0
            texts = (rows_B, hidden.tokens_BL, hidden.shown_BL, hidden.real_BL, hidden.masks.text_BL)
            rows, tokens, shown, real, text = map(self._tensor, texts)
            image, has_image, has_text = map(self._tensor, (hidden.masks.image_BP, keep_image_B, keep_text_B))
            return Batch(rows, tokens, shown, real, text, pixels_BCHW, image, has_image, has_text)

        return finish

    def hide(
        self,
        rows_B: Rows,
        has_text_B: NDArray[np.bool_],
        has_image_B: NDArray[np.bool_],
        *,
        epoch: Epoch,
        seed: int,
        masking: Masking,
        side: int | None = None,
    ) -> Hidden:
        """Everything of a batch but its pictures: the texts, and what of both is hidden."""
        tokens_BL, real_BL, maskable_BL = self._texts(rows_B, has_text_B)
        words, drawn = self.tokens.tokenizer, (seed, epoch, rows_B)
        units_BL, shown_BL = number(maskable_BL, maskable_BL), tokens_BL
        if isinstance(masking, Hiding) and (masking.text_units != "token" or masking.fields):
            units_BL = text_units(masking, *drawn, tokens_BL, maskable_BL, words)
        patches = ((side or self.pictures.side) // self.patch) ** 2
        masks = draw_masks(masking, *drawn, maskable_BL, patches, has_image_B, units_BL)
        if isinstance(masking, Hiding):
            shown_BL = shown(masking, *drawn, tokens_BL, masks.text_BL, words)
        return Hidden(tokens_BL, shown_BL, real_BL, units_BL, masks)

    def steps_ahead(self, listings: int, side: int | None = None) -> int:
        """How many steps of so many listings are made ahead: as many as fit in `prefetch`, but 1 at least and 16 at
        most, with which the slowest batch among them is waited for no more."""
        return min(max(1, self.prefetch // (listings * 3 * (side or self.pictures.side) ** 2)), 16)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self.pinned else tensor

    def _texts(self, rows_B: Rows, keep_B: NDArray[np.bool_]) -> tuple[Rows, NDArray[np.bool_], NDArray[np.bool_]]:
        """[CLS] text [SEP], padded to the longest: ids, where real, and where ordinary tokens are; each (B, L)."""
        words = self.tokens.tokenizer
        lengths_B = np.where(keep_B, self.tokens.lengths[rows_B], 0)
        tokens_BL = np.full((len(rows_B), lengths_B.max(initial=0) + 2), words.pad, np.int64)
        tokens_BL[:, 0] = words.cls
        tokens_BL[np.arange(len(rows_B)), lengths_B + 1] = words.sep
        for i in np.flatnonzero(lengths_B):
            tokens_BL[i, 1 : lengths_B[i] + 1] = self.tokens.ids(int(rows_B[i]))
        real_BL = np.arange(tokens_BL.shape[1]) < lengths_B[:, None] + 2
        return tokens_BL, real_BL, real_BL & ~np.isin(tokens_BL, list(words.special_ids))


def ahead(start: Callable[[int], Callable[[], T]], steps: Sequence[int], depth: int = 2) -> Iterator[T]:
    """What each step's `start(step)` gives when called, in order; up to `depth` further steps are begun in a thread."""
    with ThreadPoolExecutor(1, "ahead") as pool:
        begun = deque(pool.submit(start, step) for step in steps[: depth + 1])
        for step in steps[depth + 1 :]:
            ready = begun.popleft().result()()
            yield ready
            del ready  # its memory is free before another batch is begun
            begun.append(pool.submit(start, step))
        while begun:
            yield begun.popleft().result()()
