"""Locality-sensitive hashing: which pairs of things share a band of their signatures, without comparing all pairs.

Each thing has one key a band; things whose keys of a band are equal share a bucket, and those of a bucket are
candidates. A crowded bucket is split by the next band; where it stays crowded its members are paired with its first
ones only, which keeps them connected: so the number of candidates grows with the number of things, not its square.

Whether two things are candidates is so a matter of their keys and of how far each can be reached in its buckets. What
an earlier search found is asked again by that rule alone; searched for is only what is new, or reached farther now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint32]  # (N, views, bands)
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Reach = NDArray[np.uint8]  # (N, bands): how a thing is reached in its bucket
BY_TWO, BY_ONE = 1, 2  # by the keys of a band and the next one; by that of the band

AT_ONCE = 500_000  # pairs in memory at once, of each thread


@dataclass(frozen=True)
class Seen:
    """An earlier search: its M things' keys, today's number of each (-1: gone), and its pairs in today's numbers."""

    keys: Keys
    now: Ints
    left: Ints
    right: Ints


def candidates(
    keys: Keys, crowd: int, likely: Callable[[Ints, Ints, int], Bools], seen: Seen | None = None
) -> tuple[Bools, Ints, Ints]:
    """Which of the pairs seen are candidates still, and the other candidates left < right, ascending.

    A pair is a candidate if some view of the one shares a band with the first view of the other. The views are several
    signatures of each thing (a picture as it is, and cut in several ways), the first of which are in the buckets; more
    than `crowd` in one are a crowd. `likely(asked, found, view)` keeps the pairs that are worth a closer look; what it
    says may depend on nothing but the pair.
    """
    count = len(keys)
    reach = _reach(keys[:, 0], crowd)
    new, farther = np.ones(count, np.bool_), reach > 0
    if seen is not None:
        here = seen.now >= 0
        before = np.zeros_like(reach)
        before[seen.now[here]] = _reach(seen.keys[:, 0], crowd)[here]
        new[seen.now[here]] = False
        farther = reach > before

    def search(band: int) -> Ints:
        found = [np.zeros(0, np.int64)]
        for how in (BY_ONE, BY_TWO):
            inside = reach[:, band] == how
            for asked, there in ((new, inside), (~new, inside & farther[:, band])):
                bucket = _Buckets(keys[:, 0], band, how, np.flatnonzero(there))
                for view in range(keys.shape[1]):
                    for a, b in bucket.look_up(keys[:, view], np.flatnonzero(asked)):
                        kept = (a != b) & likely(a, b, view)
                        found.append(_distinct(np.minimum(a, b)[kept] * count + np.maximum(a, b)[kept]))
        return _distinct(np.concatenate(found))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = np.zeros(0, np.int64)
        for some in pool.map(search, range(keys.shape[2])):
            found = _distinct(np.concatenate([found, some]))
    if seen is None:
        return np.zeros(0, np.bool_), found // count, found % count
    still = np.zeros(len(seen.left), np.bool_)
    for asked, there in ((seen.left, seen.right), (seen.right, seen.left)):
        by_view = _reached(keys, reach, asked, there)
        for view in range(keys.shape[1]):
            some = np.flatnonzero(by_view[:, view])
            still[some] |= likely(asked[some], there[some], view)
    found = np.setdiff1d(found, seen.left * count + seen.right, assume_unique=True)
    return still, found // count, found % count


def _reach(keys: NDArray[np.uint32], crowd: int) -> Reach:
    """(N, bands): how each can be reached, 0 for not at all: it comes late in a crowd."""
    reach = np.zeros(keys.shape, np.uint8)
    for band in range(keys.shape[1]):
        fine = _joined(keys, band)
        order = np.argsort(fine, kind="stable")
        _, size = runs(fine[order] >> np.uint64(32))
        start, _ = runs(fine[order])
        first = np.arange(len(order)) - start < crowd
        reach[order, band] = np.where(size <= crowd, BY_ONE, np.where(first, BY_TWO, 0))
    return reach


def runs(ordered: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Where the run of equal values of each begins, and how long it is."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else np.zeros(0, int)
    sizes = np.diff(np.append(starts, len(ordered)))
    return np.repeat(starts, sizes), np.repeat(sizes, sizes)


class _Buckets:
    """Those `there` in the buckets of one band."""

    def __init__(self, keys: NDArray[np.uint32], band: int, how: int, there: Ints) -> None:
        self._band, self._how = band, how
        told = self._told(keys[there])
        order = np.argsort(told, kind="stable")
        self._keys, self._there = told[order], there[order]

    def _told(self, keys: NDArray[np.uint32]) -> NDArray[np.uint64]:
        return _joined(keys, self._band) if self._how == BY_TWO else keys[:, self._band].astype(np.uint64)

    def look_up(self, keys: NDArray[np.uint32], asked: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Those asked for, and what is in their buckets, some at a time."""
        if not len(asked) or not len(self._there):
            return
        told = self._told(keys[asked])
        low, high = (np.searchsorted(self._keys, told, side) for side in ("left", "right"))
        counts = high - low
        ends = np.cumsum(counts)
        start = 0
        while start < len(asked):
            before = ends[start - 1] if start else 0
            stop = max(int(np.searchsorted(ends, before + AT_ONCE, "right")), start + 1)
            some = counts[start:stop]
            within = np.arange(some.sum()) - np.repeat(np.cumsum(some) - some, some)
            yield np.repeat(asked[start:stop], some), self._there[np.repeat(low[start:stop], some) + within]
            start = stop


def _reached(keys: Keys, reach: Reach, asked: Ints, found: Ints) -> Bools:
    """(P, views) whether that view of the one asked for reaches the one found."""
    reached = np.zeros((len(asked), keys.shape[1]), np.bool_)
    step = max(AT_ONCE * 4 // keys[0].size, 1) if len(keys) else 1
    for start in range(0, len(asked), step):
        some = slice(start, start + step)
        same = keys[asked[some]] == keys[found[some], :1]
        how = reach[found[some]][:, None]
        hit = same & (how == BY_ONE) | same & np.roll(same, -1, axis=2) & (how == BY_TWO)
        reached[some] = hit.any(axis=2)
    return reached


def _joined(keys: NDArray[np.uint32], band: int) -> NDArray[np.uint64]:
    """(N,): the keys of a band and the next one."""
    following = keys[:, (band + 1) % keys.shape[1]]
    joined: NDArray[np.uint64] = keys[:, band].astype(np.uint64) << np.uint64(32) | following
    return joined


def _distinct(numbers: Ints) -> Ints:
    """Sorted, each once; `np.unique` hashes, which takes five times as long for what is sorted anyway."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
