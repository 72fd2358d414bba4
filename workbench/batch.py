"""The contract between the data and the model.

Legend of shape letters, used in names all over the code (`tokens_BL` is a tensor of shape (B, L)):

    B  listings in a batch          L  text positions: [CLS] text [SEP], padded
    P  image tokens (patch grid)    S  the whole sequence, S = L + P
    C  colour channels (3)          H  height in pixels       W  width in pixels
    D  width of the transformer     V  vocabulary             M  masked text positions of a batch
    N  rows of the catalog
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A batch of listings as the model reads it; all tensors on one device.

    A listing without a usable picture has `has_image_B` False, zeros for pixels and its image positions hidden
    from attention; one whose text was dropped has `has_text_B` False and keeps [CLS] and [SEP] only.
    """

    rows_B: Tensor  # int64, the row of each listing in the catalog
    tokens_BL: Tensor  # int64, true token ids
    shown_BL: Tensor  # int64, the ids that the model reads: [MASK], mostly, where `text_masked_BL`
    text_real_BL: Tensor  # bool, False on padding
    text_masked_BL: Tensor  # bool, True where the model must say the token
    pixels_BCHW: Tensor  # uint8
    image_masked_BP: Tensor  # bool, True where the model sees [MASK] in place of the patch
    has_image_B: Tensor  # bool
    has_text_B: Tensor  # bool

    def __len__(self) -> int:
        """B, the number of listings."""
        return len(self.rows_B)

    def of(self, where_B: Tensor) -> Batch:
        """Some of the listings."""
        return Batch(**{f.name: getattr(self, f.name)[where_B] for f in fields(self)})

    def without_pictures(self, patch: int) -> Batch:
        """The same listings, none of which has a picture, with one image token in place of a whole grid."""
        return replace(
            self, pixels_BCHW=self.pixels_BCHW[..., :patch, :patch], image_masked_BP=self.image_masked_BP[:, :1]
        )

    def idle(self) -> Batch:
        """The same listings with nothing that counts: no text, no picture, nothing masked."""
        masks = ("text_masked_BL", "image_masked_BP", "has_image_B", "has_text_B")
        nothing = {name: getattr(self, name) & False for name in masks}
        return replace(self, shown_BL=self.tokens_BL, **nothing)

    @cached_property
    def masked_M(self) -> Tensor:
        """int64, the places of the masked text positions among all B * L."""
        return self.text_masked_BL.flatten().nonzero()[:, 0]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        moved = Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})
        # Found before: a GPU that is asked how many there are makes the CPU wait.
        moved.__dict__["masked_M"] = self.masked_M.to(device, non_blocking=True)
        return moved
