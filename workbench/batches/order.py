"""The order of training: a step -> the listings of its batch, so that any position can be resumed from at once.

A position is a step alone. The sequence of listings is a pure function of (seed, step, catalog): the number of workers
and of ranks is no part of it, and nothing is replayed to get to a step in mid-epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workbench.batches.weights import Draws
from workbench.draws import ORDER, stream
from workbench.errors import DataError
from workbench.recipe.schema import Sampling

Rows = NDArray[np.int64]
Ints = NDArray[np.integer]
_EACH_ONCE = Sampling()
_WINDOWS = 2**63  # the row of their stream; that of a pool is 1 + the number of its first batch
AGAIN = 2**32  # what a further visit within an epoch adds to the word that its masks and crops are drawn by


@dataclass(eq=False)
class Order:
    """In every epoch `count` draws of `count` things, in an order of its own; each thing once, or as `frequencies` say.

    The last batch of an epoch may be smaller. The first step of an epoch shuffles it whole; of each of the two latest
    epochs (batches are made ahead across the border) 4 bytes a thing stay, and some 20 are used meanwhile where windows
    are shuffled. Every other step costs what its own batch does. Raises DataError where no batch would be left.
    """

    count: int
    batch_size: int  # things behind one optimizer step, on all ranks together
    epochs: int
    seed: int
    sampling: Sampling = _EACH_ONCE
    shards: Ints | None = None  # (count,) where each lies, ascending, for sampling.window
    lengths: Ints | None = None  # (count,) of texts in tokens, for sampling.buckets
    frequencies: Draws | None = None

    def __post_init__(self) -> None:
        if self.count and not self.steps_per_epoch:
            raise DataError(
                f"pretrain.sampling.last: drop leaves no batch of {self.count} listings, since optim.batch_size is "
                f"{self.batch_size}; give keep, or a batch_size of at most {self.count}"
            )
        self._shuffled = lru_cache(2)(self._shuffle)
        self._pooled = lru_cache(1)(self._pool)

    @property
    def steps_per_epoch(self) -> int:
        whole, rest = divmod(self.count, self.batch_size)
        return whole + (rest > 0 and self.sampling.last == "keep")

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def at(self, step: int) -> tuple[int, Rows]:
        """Epoch, counted from 1, and the indices of a step, counted from 0."""
        epoch, places = self._places_at(step)
        return epoch, self._things(epoch, places)[0]

    def clock(self, step: int) -> Rows:
        """(B,) what random changes of a step's listings are drawn by: the epoch, and `AGAIN` more with each further
        visit of a listing within it, so that no copy of it has the same masks and crop."""
        epoch, places = self._places_at(step)
        return epoch + AGAIN * self._things(epoch, places)[1]

    def side(self, step: int) -> int | None:
        """Side of the pictures at a step, by the recipe's curriculum; None is the model's own."""
        return side_at(self.sampling.sides, step, self.steps)

    def soon(self, step: int) -> Rows:
        """A thing of each shard that is read from this step on: of its window, then of the next, so that it is fetched
        while this one is read; without windows the things of this step and of the next."""
        if self.sampling.window is None:
            return np.concatenate([self.at(s)[1] for s in range(step, min(step + 2, self.steps))])
        assert self.shards is not None
        epoch, chosen = self.at(step)
        windows = self._windows(epoch)
        window = windows[self.shards[chosen]].min()
        following = windows == window + 1 if window < windows.max() else self._windows(epoch + 1) == 0
        shards: Ints = np.concatenate([np.flatnonzero(windows == window), np.flatnonzero(following)])
        shards = shards.astype(self.shards.dtype)  # or searchsorted would cast all of the other
        things = np.searchsorted(self.shards, shards)
        found: Rows = things[self.shards[np.minimum(things, self.count - 1)] == shards]
        return found  # some shards have nothing to train on

    def _places_at(self, step: int) -> tuple[int, Ints]:
        """Epoch, and the places of a step's batch among the epoch's `count` draws."""
        epoch, batch = step // self.steps_per_epoch + 1, step % self.steps_per_epoch
        buckets, whole = self.sampling.buckets, self.count // self.batch_size
        if not buckets:
            return epoch, self._shuffled(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]
        if batch == whole:  # smaller: among others it would always have the longest texts
            return epoch, self._pooled(epoch, batch, batch + 1)[0]
        first = batch - batch % buckets
        return epoch, self._pooled(epoch, first, min(first + buckets, whole))[batch - first]

    def _pool(self, epoch: int, first: int, end: int) -> list[Ints]:
        """Batches `first` to `end` of an epoch, cut by length together, in random order."""
        size = self.batch_size
        places = self._shuffled(epoch)[first * size : end * size]
        assert self.lengths is not None, "length buckets need lengths"
        places = places[np.argsort(self.lengths[self._things(epoch, places)[0]], kind="stable")]
        order = stream(self.seed, ORDER, epoch, 1 + first).permutation(end - first)
        return [places[nth * size : (nth + 1) * size] for nth in order]

    def _things(self, epoch: int, places: Ints) -> tuple[Rows, Rows]:
        """The things that were drawn for these places, and how often each was drawn before in the epoch."""
        if self.frequencies is None:
            return places.astype(np.int64), np.zeros(len(places), np.int64)
        return self.frequencies.draw(self.seed, epoch, places)

    def _shuffle(self, epoch: int) -> Ints:
        """The places of an epoch's draws: shuffled wholly, or only among those of the same window of shards."""
        places: Ints = np.arange(self.count, dtype=np.int32 if self.count < 2**31 else np.int64)
        draws = stream(self.seed, ORDER, epoch)
        if self.sampling.window is None:
            draws.shuffle(places)
            return places
        assert self.shards is not None, "windows of shards need shards"
        window_of = self._windows(epoch)[self.shards[self._things(epoch, places)[0]]]
        draws.shuffle(places)
        return places[np.argsort(window_of[places], kind="stable")]

    def _windows(self, epoch: int) -> Ints:
        """(shards,) the window of each shard, from 0; one is of `sampling.window` shards, one fewer or some more.

        A window takes every so many-th shard, counted from a random one on and around. So it holds shards from all over
        the catalog, and as many classes as it can where the catalog is sorted by class; it is another in each epoch,
        since the way around is no multiple of the step.
        """
        assert self.shards is not None and self.sampling.window is not None
        shards = int(self.shards[-1]) + 1 if self.count else 0
        windows = max(1, shards // self.sampling.window)
        around = shards + (shards % windows == 0)
        draws = stream(self.seed, ORDER, epoch, _WINDOWS)
        turned = (np.arange(shards) + draws.integers(around)) % around
        small = np.min_scalar_type(windows)  # sorted in linear time
        window_of: Ints = draws.permutation(windows).astype(small)[turned % windows]
        return window_of


def side_at(sides: Sequence[tuple[float, int]], step: int, steps: int) -> int | None:
    """Side of the pictures at a step of so many, by a recipe's (share of the steps, side) …; None: the model's own."""
    until = 0.0
    for part, side in sides:
        until += part
        if step < round(until * steps):
            return side
    return None


def share(indices: Rows, rank: int, world: int) -> Rows:
    """One rank's part of a step's batch: without overlap, all of it together, sizes differing by one at most.

    Where the batch is smaller than the world, some ranks get none; the step is still theirs, so that all ranks have as
    many. Every `world`-th is taken: where a batch is sorted by length, all ranks have texts of the same lengths.
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world}: expected 0 to {world - 1}")
    return indices[rank::world]


def cut(indices: Rows, micro: int, rank: int, world: int) -> list[Rows]:
    """One rank's share of a step's batch in micro-batches, as many on every rank; empty ones where it has too few."""
    own, longest = share(indices, rank, world), -(-len(indices) // world)
    return [own[start : start + micro] for start in range(0, longest, micro)]


def deal(indices: Rows, micro: int, rank: int, world: int) -> list[Rows]:
    """One rank's micro-batches of all that one process would make, so that whatever is compared within one is the same
    in any world; as many on every rank, an empty one where there is none left."""
    count = -(-len(indices) // micro)
    rounds = -(-count // world)
    return [indices[nth * micro : (nth + 1) * micro] for nth in range(rank, rounds * world, world)]
