"""The order of training: a step -> the listings of its batch, so that any position can be resumed from at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workbench.draws import ORDER, stream

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """The order of training: every epoch visits each of `count` things once, in an order of its own.

    A position is a step alone: step -> (epoch, which things). The last batch of an epoch may be smaller.
    """

    count: int
    batch_size: int
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.count // self.batch_size)

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def at(self, step: int) -> tuple[int, Rows]:
        """Epoch, counted from 1, and the indices of a step, counted from 0."""
        epoch, batch = step // self.steps_per_epoch + 1, step % self.steps_per_epoch
        order = _order_of(self.seed, epoch, self.count)
        return epoch, order[batch * self.batch_size : (batch + 1) * self.batch_size]


@lru_cache(maxsize=1)  # of the epoch at hand: a catalog of millions is shuffled once an epoch, not at every step
def _order_of(seed: int, epoch: int, count: int) -> Rows:
    return stream(seed, ORDER, epoch).permutation(count)
