"""Locality-sensitive hashing: which pairs of things share a band of their signatures, without comparing all pairs.

Each thing has one key a band; things whose keys of a band are equal share a bucket, and those of a bucket are
candidates. A crowded bucket is split by the next band; where it stays crowded its members are paired with its first
ones only, which keeps them connected: so the number of candidates grows with the number of things, not its square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint32]  # (N, bands)
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

AT_ONCE = 2_000_000  # pairs in memory at once


def candidates(views: Sequence[Keys], crowd: int, likely: Callable[[Ints, Ints, int], Bools]) -> tuple[Ints, Ints]:
    """Pairs left < right, ascending, of which some view of the one shares a band with the first view of the other.

    `views` holds several signatures of each thing (a picture as it is, and cut in several ways), the first of which
    are in the buckets; more than `crowd` in one are a crowd. `likely(asked, found, view)` keeps the pairs that are
    worth a closer look.
    """
    found = [np.zeros(0, np.int64)]
    count, bands = views[0].shape
    for band in range(bands):
        table = _Table(views[0][:, band], views[0][:, (band + 1) % bands], crowd)
        for number, view in enumerate(views):
            for asked, there in table.look_up(view[:, band], view[:, (band + 1) % bands]):
                kept = (asked != there) & likely(asked, there, number)
                left, right = np.minimum(asked, there)[kept], np.maximum(asked, there)[kept]
                found.append(_distinct(left * count + right))
        found = [_distinct(np.concatenate(found))]
    return found[0] // count, found[0] % count


class _Table:
    """The buckets of one band."""

    def __init__(self, keys: NDArray[np.uint32], next_keys: NDArray[np.uint32], crowd: int) -> None:
        self._crowd = crowd
        self._order = np.lexsort((next_keys, keys))  # ties by number, the sort being stable
        self._fine = _joined(keys, next_keys)[self._order]
        self._keys = keys[self._order]

    def look_up(self, keys: NDArray[np.uint32], next_keys: NDArray[np.uint32]) -> Iterator[tuple[Ints, Ints]]:
        """Numbers of those asked for, and of what is in their buckets, some at a time."""
        low, high = (np.searchsorted(self._keys, keys, side) for side in ("left", "right"))
        crowded = np.flatnonzero(high - low > self._crowd)
        fine = _joined(keys[crowded], next_keys[crowded])
        low[crowded], high[crowded] = (np.searchsorted(self._fine, fine, side) for side in ("left", "right"))
        counts = np.minimum(high - low, self._crowd)
        ends = np.cumsum(counts)
        start = 0
        while start < len(keys):
            before = ends[start - 1] if start else 0
            stop = max(int(np.searchsorted(ends, before + AT_ONCE, "right")), start + 1)
            some = counts[start:stop]
            within = np.arange(some.sum()) - np.repeat(np.cumsum(some) - some, some)
            yield (
                np.repeat(np.arange(start, stop), some),
                self._order[np.repeat(low[start:stop], some) + within],
            )
            start = stop


def _joined(keys: NDArray[np.uint32], next_keys: NDArray[np.uint32]) -> NDArray[np.uint64]:
    joined: NDArray[np.uint64] = keys.astype(np.uint64) << np.uint64(32) | next_keys
    return joined


def _distinct(numbers: Ints) -> Ints:
    """Sorted, each once; `np.unique` hashes, which takes five times as long for what is sorted anyway."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
