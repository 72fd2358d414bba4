"""What a listing says in one field taken out of its text, or put there: asked for, word by word.

A field is its marker and what follows up to the next one; fields stand in the order of the vocabulary's markers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.batch import Batch

if TYPE_CHECKING:
    from workbench.text.tokenizer import TextTokenizer

NONE = -1  # no field, no token


@dataclass(frozen=True)
class Words:
    """What of a tokenizer is needed to edit its texts."""

    pad: int
    mask: int
    max_length: int  # text positions of a listing
    markers: tuple[int, ...]  # of the fields, in their order

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> Words:
        return cls(tokenizer.pad, tokenizer.mask, tokenizer.max_length, tokenizer.vocabulary.markers)

    @classmethod
    def told(cls, said: Mapping[str, Any]) -> Words:
        return cls(**{**said, "markers": tuple(said["markers"])})

    def tell(self) -> dict[str, Any]:
        return asdict(self)


def without(batch: Batch, marker_B: Tensor, words: Words) -> Batch:
    """Each listing without the field of this marker; NONE: as it is."""
    return asking(batch, marker_B, marker_B.new_empty(len(batch), 0), words)


def asking(batch: Batch, marker_B: Tensor, answer_BK: Tensor, words: Words) -> Batch:
    """Each listing with [MASK]s in this field, one for each token of the answer, which it is to say; no field where the
    answer is none (all NONE). Texts are cut so that the field has room."""
    tokens_BL, place_L = batch.tokens_BL, torch.arange(batch.tokens_BL.shape[1], device=batch.tokens_BL.device)
    order_BL, order_B = _order(tokens_BL, words.markers), _order(marker_B, words.markers)
    within_BL = torch.where(order_BL >= 0, place_L, 0).cummax(1).values  # place of the last marker, 0: [CLS]
    end_B1 = batch.text_real_BL.sum(1, keepdim=True) - 1  # [SEP]
    here_BL = (order_BL.gather(1, within_BL) == order_B[:, None]) & (order_B[:, None] >= 0) & (place_L < end_B1)
    added_BK = torch.cat([torch.where((answer_BK >= 0).any(1), marker_B, NONE)[:, None], answer_BK], 1)
    room_B1 = words.max_length - 1 - (added_BK >= 0).sum(1, keepdim=True)
    kept_BL = batch.text_real_BL & ~here_BL
    kept_BL &= (kept_BL.cumsum(1) <= room_B1) | (place_L == end_B1)
    later_BL = (order_BL > order_B[:, None]) & (place_L < end_B1)
    before_B1 = torch.where(later_BL, place_L, end_B1).min(1, keepdim=True).values  # where the field belongs

    far = 2 * tokens_BL.shape[1]
    keys = [torch.where(kept_BL, 2 * place_L, far), torch.where(added_BK >= 0, 2 * before_B1 - 1, far)]
    taken_BS = torch.cat(keys, 1).argsort(stable=True, dim=1)
    length_B1 = kept_BL.sum(1, keepdim=True) + (added_BK >= 0).sum(1, keepdim=True)
    taken_BL = taken_BS[:, : int(length_B1.max())]
    real_BL = torch.arange(taken_BL.shape[1], device=place_L.device) < length_B1

    def edited(old_BL: Tensor, new_BK: Tensor, padding: int | bool) -> Tensor:
        return torch.where(real_BL, torch.cat([old_BL, new_BK], 1).gather(1, taken_BL), padding)

    asked_BK = added_BK >= 0
    asked_BK[:, 0] = False  # the marker
    return replace(
        batch,
        tokens_BL=edited(tokens_BL, added_BK, words.pad),
        shown_BL=edited(batch.shown_BL, torch.where(asked_BK, words.mask, added_BK), words.pad),
        text_real_BL=real_BL,
        text_masked_BL=edited(batch.text_masked_BL, asked_BK, False),
        has_text_B=batch.has_text_B & (length_B1[:, 0] > 2),
    )


def _order(ids: Tensor, markers: Sequence[int]) -> Tensor:
    """The place of each id among the markers, or -1."""
    order = torch.full_like(ids, -1)
    for place, marker in enumerate(markers):
        order[ids == marker] = place
    return order
