"""What a pre-training reads on this rank, step by step and when it validates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from workbench.batch import Batch
from workbench.batches.loader import Listings, ahead
from workbench.batches.order import Order, Rows, cut, deal
from workbench.draws import ORDER, stream
from workbench.recipe.schema import Pretrain, Sampling
from workbench.tasks.catalog import Catalog
from workbench.train.world import World


@dataclass(frozen=True)
class Course:
    """The micro-batches of a rank: of each step as many on every rank, and together its batch."""

    catalog: Catalog
    order: Order
    pretrain: Pretrain  # its sizes are numbers
    world: World
    compared: bool  # listings with one another, by ITM or ITC

    @cached_property
    def train(self) -> Rows:
        return self.catalog.pictured("train")

    @cached_property
    def valid(self) -> Rows:
        valid = self.catalog.pictured("valid")
        # Neighbours in a feed would be unlike the strangers of training.
        return stream(self.pretrain.seed, ORDER).permutation(valid) if self.compared else valid

    def batches(self, first: int, micro_batch: int) -> Iterator[list[Batch]]:
        """Of each step from `first` on, in micro-batches of at most so many listings (0: the rank's whole share)."""
        steps = range(first, self.order.steps)
        for step, made in zip(
            steps, ahead(lambda s: self._begin_step(s, micro_batch), steps, self._ahead), strict=True
        ):
            self.world.note(step)
            yield made

    def step(self, step: int, micro_batch: int) -> list[Batch]:
        """The micro-batches of one step, once more."""
        return self._begin_step(step, micro_batch)()

    def held_out(self, step: int) -> Iterator[Batch] | None:
        """This rank's share of the validation that is due after a step, on masks that are always the same."""
        every = self.pretrain.validate_every * self.order.steps_per_epoch
        if not len(self.valid) or (step % every and step != self.order.steps):
            return None
        optim = self.pretrain.optim
        dealt = deal(
            np.arange(len(self.valid)), optim.micro_batch or optim.batch_size, self.world.rank, self.world.size
        )
        fixed = np.zeros(len(self.valid), np.int64)
        return ahead(lambda nth: self._begin(self.valid, fixed, dealt[nth]), range(len(dealt)), self._ahead)

    @cached_property
    def _share(self) -> int:
        """Listings of a step on this rank."""
        return -(-self.pretrain.optim.batch_size // self.world.size)

    @cached_property
    def _ahead(self) -> int:
        listings = self.catalog.listings
        return listings.steps_ahead(self._share, largest_side(listings, self.pretrain.sampling))

    def _begin_step(self, step: int, micro_batch: int) -> Callable[[], list[Batch]]:
        rows, clock = self.train[self.order.at(step)[1]], self.order.clock(step)
        how = {"side": self.order.side(step), "augment": self.pretrain.augment, "any_picture": True}
        parts = cut(np.arange(len(rows)), micro_batch or self._share, self.world.rank, self.world.size)
        begun = [self._begin(rows, clock, places, **how) for places in parts]
        soon = self.train[self.order.soon(step)]

        def finish_all() -> list[Batch]:
            self.catalog.shards.want(soon)  # now, since a batch may be begun long before the last ones are read
            return [finish() for finish in begun]

        return finish_all

    def _begin(self, rows: Rows, clock: Rows, places: Rows, **how: Any) -> Callable[[], Batch]:
        """The listings at these places; a rank that has none takes part with one of which nothing counts."""
        at = places if len(places) else slice(1)
        how |= {"seed": self.pretrain.seed, "masking": self.pretrain.masking}
        batch = self.catalog.listings.start(rows[at], epoch=clock[at], **how)
        return batch if len(places) else lambda: batch().idle()


def largest_side(listings: Listings, sampling: Sampling) -> int:
    """Pixels: of the pictures of any step."""
    return max([listings.pictures.side, *(side for _, side in sampling.sides)])
