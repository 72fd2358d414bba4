"""A sample is what pre-training reads of a listing, as plain values under the names that other trainers know.

Those of the train part are as epochs 1 to N read them, in their order; those of held-out parts have the fixed masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from imagecodecs import png_encode
from numpy.typing import NDArray
from torch import Tensor

from workbench.batches.loader import ahead
from workbench.batches.masking import MODES
from workbench.batches.order import Order, Rows
from workbench.draws import Epoch
from workbench.images.export import AHEAD, Line
from workbench.recipe.schema import Pretrain
from workbench.tasks.catalog import Catalog

READ = 64  # listings at once
NO_LABEL = -100  # what the cross-entropy of torch leaves out
Place = tuple[int, int]  # step, and the first of its listings that is read


@dataclass(frozen=True)
class Samples:
    """What pre-training reads of a catalog, part by part."""

    catalog: Catalog
    pretrain: Pretrain
    order: Order  # of the train part
    pool: Executor

    @cached_property
    def rows(self) -> Mapping[str, Rows]:
        """Those of each part that has any."""
        rows = {part: self.catalog.pictured(part) for part in ("train", "valid", "test")}
        return {part: rows_n for part, rows_n in rows.items() if len(rows_n)}

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Samples of each part."""
        return {part: sum(len(rows_B) for rows_B in self._read(part)) for part in self.rows}

    @cached_property
    def drawn_N(self) -> NDArray[np.bool_]:
        """(N,) the listings that there are samples of."""
        drawn_N = np.zeros(self.catalog.items.height, np.bool_)
        for part in self.rows:
            for rows_B in self._read(part):
                drawn_N[rows_B] = True
        return drawn_N

    def lines(self, part: str) -> Iterator[Line]:
        """A part's samples in their order, as docs/samples.md has them."""
        places = self._places(part)
        depth = self.catalog.listings.steps_ahead(READ)
        for lines in ahead(lambda nth: self._begin(part, places[nth]), range(len(places)), depth):
            yield from lines

    def _read(self, part: str) -> Iterator[Rows]:
        return (self._at(part, place)[1] for place in self._places(part))

    def _places(self, part: str) -> list[Place]:
        if part != "train":
            return [(0, first) for first in range(0, len(self.rows[part]), READ)]
        sizes = ((step, len(self.order.at(step)[1])) for step in range(self.order.steps))
        return [(step, first) for step, size in sizes for first in range(0, size, READ)]

    def _at(self, part: str, place: Place) -> tuple[int, Rows, Epoch]:
        """Epoch, rows, and what their masks and crops are drawn by."""
        step, some = place[0], slice(place[1], place[1] + READ)
        if part != "train":
            return 0, self.rows[part][some], 0  # the epoch of fixed masks
        epoch, drawn = self.order.at(step)
        return epoch, self.rows[part][drawn[some]], self.order.clock(step)[some]

    def _begin(self, part: str, place: Place) -> Callable[[], list[Line]]:
        epoch, rows_B, clock = self._at(part, place)
        how: dict[str, Any] = {"epoch": clock, "seed": self.pretrain.seed, "masking": self.pretrain.masking}
        changed: dict[str, Any] = {"augment": self.pretrain.augment, "any_picture": True} if part == "train" else {}
        listings, both_B = self.catalog.listings, np.ones(len(rows_B), np.bool_)
        modes_B = listings.hide(rows_B, both_B, both_B, **how).masks.mode_B
        begun = listings.start(rows_B, **how, **changed)
        soon = self._soon(part, place)

        def finish() -> list[Line]:
            self.catalog.shards.want(soon)
            batch, words = begun(), listings.tokens.tokenizer
            columns = {
                "row": rows_B.tolist(),
                "id": self.catalog.items["id"][rows_B],
                "part": [part] * len(rows_B),
                "epoch": [epoch] * len(rows_B),
                "mode": [MODES[mode] for mode in modes_B],
                "input_ids": _padded(batch.shown_BL, words.max_length, words.pad),
                "attention_mask": _padded(batch.text_real_BL.byte(), words.max_length, 0),
                "labels": _padded(batch.tokens_BL.where(batch.text_masked_BL, NO_LABEL), words.max_length, NO_LABEL),
                "bool_masked_pos": batch.image_masked_BP.tolist(),
                "image": self.pool.map(_png, batch.pixels_BCHW.numpy()),
            }
            return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

        return finish

    def _soon(self, part: str, place: Place) -> Rows:
        """Listings whose shards are fetched meanwhile, where these are in an object store."""
        rows_n = self.rows[part]
        return rows_n[self.order.soon(place[0])] if part == "train" else rows_n[place[1] : place[1] + AHEAD]


def _padded(values_BL: Tensor, length: int, value: int) -> list[list[int]]:
    """(B, length): all samples are of one length, so that any loader can put them together."""
    whole = values_BL.new_full((len(values_BL), length), value)
    whole[:, : values_BL.shape[1]] = values_BL
    rows: list[list[int]] = whole.tolist()
    return rows


def _png(pixels_CHW: NDArray[np.uint8]) -> dict[str, Any]:
    pixels_HWC = np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0))
    return {"bytes": bytes(png_encode(pixels_HWC, level=1)), "path": None}
