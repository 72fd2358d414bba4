"""What a batch is made of, measured apart: seconds of a core a listing for reading, decoding, and so on to assembly.

The steps of the work are a decoder's own affair. So it is called with less and less to do, and a part is the difference
of two calls; what the whole batch takes beyond them is its assembly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.batches.loader import Listings
from workbench.batches.order import Rows
from workbench.images.augment import Augmentation, draw, draw_pictures, identity
from workbench.images.decoder import Decoder
from workbench.images.shard import Shards
from workbench.recipe.schema import Pretrain

PARTS = ("reading", "decoding", "crop and resize", "colours", "tokens and masks", "assembly")
EPOCH = 1
PASSES = 20  # over the batches, at most
Clock = Callable[[], float]


def training(pretrain: Pretrain) -> dict[str, Any]:
    """How pre-training asks for a batch."""
    augmented = {"augment": pretrain.augment, "any_picture": True}
    return {"epoch": EPOCH, "seed": pretrain.seed, "masking": pretrain.masking, **augmented}


def measure_parts(
    listings: Listings,
    shards: Shards,
    batches: Sequence[Rows],
    pretrain: Pretrain,
    seconds: float = 0.7,
    clock: Clock = time.process_time,
) -> dict[str, float]:
    """Seconds of a core a listing for each of `PARTS`; their sum is what a whole batch takes.

    `clock` counts the processor's time in all threads, so that what overlaps doesn't matter. Each of six calls is made
    for `seconds`. `listings` should have a decoder that keeps no decoded pictures.
    """
    pictures, blank = listings.pictures, replace(listings, pictures=Blank(listings.pictures))
    drawn = [_draw(rows, pretrain, pictures) for rows in batches]
    stored = int(np.median(np.concatenate([shards.sides(rows, picks) for rows, _, picks in drawn])))

    def timed(run: Callable[[Rows, Augmentation, Rows], Any]) -> float:
        run(*drawn[0])  # files are mapped, memory is had
        times, began = [], clock()
        for one in drawn * PASSES:
            before = clock()
            run(*one)
            times.append((clock() - before) / len(one[0]))
            if clock() - began >= seconds:
                break
        return median(times)

    reached = (
        0,
        timed(lambda rows, _, picks: [*map(shards.bytes, rows.tolist(), picks.tolist())]),
        timed(lambda rows, _, picks: pictures.start(rows, identity(len(rows)), picks, stored)()),
        timed(lambda rows, drawn, picks: pictures.start(rows, _colourless(drawn), picks)()),
        coloured := timed(lambda rows, drawn, picks: pictures.start(rows, drawn, picks)()),
        coloured + timed(lambda rows, *_: blank.batch(rows, **training(pretrain) | {"augment": None})),
        timed(lambda rows, *_: listings.batch(rows, **training(pretrain))),
    )
    growing = np.maximum.accumulate(reached)  # a part that is less than the noise is nothing
    return dict(zip(PARTS, np.diff(growing).tolist(), strict=True))


def _draw(rows: Rows, pretrain: Pretrain, pictures: Decoder) -> tuple[Rows, Augmentation, Rows]:
    """Rows as a decoder is asked for them, drawn outside of what is timed."""
    picks: Any = draw_pictures(pretrain.seed, EPOCH, rows, pictures.counts[rows])
    return rows, draw(pretrain.augment, pretrain.seed, EPOCH, rows), picks


def _colourless(augmentation: Augmentation) -> Augmentation:
    one = np.ones_like(augmentation.brightness)
    return Augmentation(augmentation.crop, augmentation.flip, brightness=one, contrast=one, saturation=one)


@dataclass
class Blank:
    """A decoder whose pictures cost nothing: all of them are the same zeros."""

    of: Decoder

    def __post_init__(self) -> None:
        self.name, self.side, self.usable, self.counts = "blank", self.of.side, self.of.usable, self.of.counts
        self._pixels: NDArray[np.uint8] = np.zeros((0, 3, 1, 1), np.uint8)

    def start(
        self,
        rows: NDArray[np.integer],
        augmentation: Augmentation,
        picks: NDArray[np.integer] | None = None,
        side: int | None = None,
    ) -> Callable[[], NDArray[np.uint8]]:
        shape = (len(rows), 3, side or self.side, side or self.side)
        if self._pixels.shape != shape:
            self._pixels = np.zeros(shape, np.uint8)
        return lambda: self._pixels

    def close(self) -> None:
        pass
