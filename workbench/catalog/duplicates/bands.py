"""Locality-sensitive hashing: which pairs of things share a band of their signatures, without comparing all pairs.

Each thing has one key a band; things whose keys of a band are equal share a bucket, and those of a bucket are
candidates. A crowded bucket is split by the next band; where it stays crowded its members are paired with its first
ones only, which keeps them connected: so the number of candidates grows with the number of things, not its square.
Where most things look alike that is still too many to be held: the closest few of each are kept while it is searched.

Whether two things are candidates is so a matter of their keys and of how far each can be reached in its buckets. So
what an earlier search found holds unless an end is reached less far now: that is asked again. Searched for is only what
is new, or reached farther, or had its few and lost one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from workbench.artifacts.executor import Executor, Threads

Keys = NDArray[np.uint32]  # (N, views, bands), or (N, views) of one band
Told = NDArray[np.uint32] | NDArray[np.uint64]  # what names a bucket of a band
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Reach = NDArray[np.uint8]  # (N, bands): how a thing is reached in its bucket
BY_TWO, BY_ONE = 1, 2  # by the keys of a band and the next one; by that of the band
LOW = 2**18 - 1  # bits of a key: few things share them by chance

MANY = 32  # candidates a thing, on average, of which the closest few are chosen
AT_ONCE = 500_000  # pairs in memory at once, of each band that is worked on


@dataclass(frozen=True)
class Seen:
    """An earlier search: its M things' keys, today's number of each (-1: gone), and its pairs in these numbers."""

    keys: Keys
    now: Ints
    left: Ints
    right: Ints


@dataclass(frozen=True)
class Few:
    """Of the pairs that a thing is the left end of at most so many are kept, and as many of those it is right of."""

    most: int
    among: Callable[[Ints, Ints], Bools]  # (P,) whether a pair is among the closest `most` of one of its ends


def candidates(
    keys: Keys,
    crowd: int,
    likely: Callable[[Ints, Ints, int], Bools],
    seen: Seen | None = None,
    executor: Executor | None = None,
    few: Few | None = None,
) -> tuple[Bools, Ints, Ints]:
    """Which of the pairs seen are candidates still, and the other candidates left < right, ascending; where `few` are
    kept at least these of them.

    A pair is a candidate if some view of the one shares a band with the first view of the other. The views are several
    signatures of each thing (a picture as it is, and cut in several ways), the first of which are in the buckets; more
    than `crowd` in one are a crowd. `likely(asked, found, view)` keeps the pairs that are worth a closer look; what it
    says may depend on nothing but the pair. The executor works on several bands at once.
    """
    count, executor = len(keys), executor or Threads()
    reach = _reach(keys, crowd, executor)
    before, new = np.zeros_like(reach), np.ones(count, np.bool_)
    if seen is not None:
        here = seen.now >= 0
        before[seen.now[here]] = _reach(seen.keys, crowd, executor)[here]
        new[seen.now[here]] = False
    still = _still(seen, keys, reach, before, likely) if seen else np.zeros(0, np.bool_)
    if seen and few:
        anew = _with_room(seen, still, few.most, count)
        new[anew], before[anew] = True, 0
    farther = reach > before
    pieces = (
        _Band(own[:, [0, view]], following[:, [0, view]], view, reach[:, band], farther[:, band])
        for band, (own, following) in enumerate(_by_two(keys))
        for view in range(keys.shape[1])
    )
    found = np.zeros(0, np.int64)
    for some in executor.in_order(partial(_search, new=new, likely=likely), pieces):
        found = _distinct(np.concatenate([found, some]))
        if few and len(found) > MANY * count:
            found = found[few.among(found // count, found % count)]
    if seen:
        found = np.setdiff1d(found, (seen.left * count + seen.right)[still], assume_unique=True)
    return still, found // count, found % count


def _still(seen: Seen, keys: Keys, reach: Reach, before: Reach, likely: Callable[[Ints, Ints, int], Bools]) -> Bools:
    """(P,) which of the pairs seen are candidates."""
    still: Bools = (seen.left >= 0) & (seen.right >= 0)
    lost: Bools = np.any(reach < before, axis=1)
    unsure = np.flatnonzero(still & (lost[seen.left] | lost[seen.right]))
    still[unsure] = _are_candidates(seen.left[unsure], seen.right[unsure], keys, reach, likely)
    return still


def _with_room(seen: Seen, still: Bools, most: int, count: int) -> Ints:
    """The things that had as many pairs as are kept, and have lost one: another may take its place."""
    found = [np.zeros(0, np.int64)]
    for end in (seen.left, seen.right):
        here = end >= 0
        had, lost = (np.bincount(end[some], minlength=count) for some in (here, here & ~still))
        found.append(np.flatnonzero((had >= most) & (lost > 0)))
    return np.concatenate(found)


@dataclass(frozen=True)
class _Band:
    """One view of all things in a band: a piece of the search."""

    keys: Keys  # (N, 2): of the first view, and of this one
    following: Keys  # those of the next band
    view: int
    reach: Reach  # (N,)
    farther: Bools  # (N,) than in the earlier search


def _by_two(keys: Keys) -> Iterator[tuple[Keys, Keys]]:
    """Each band (N, views), and the next one."""
    bands = keys.shape[2]
    return ((keys[:, :, band], keys[:, :, (band + 1) % bands]) for band in range(bands))


def _search(band: _Band, new: Bools, likely: Callable[[Ints, Ints, int], Bools]) -> Ints:
    """The candidates by one view in one band, left * N + right, ascending."""
    count, found = len(new), [np.zeros(0, np.int64)]
    for how in (BY_ONE, BY_TWO):
        told, inside = _told(band.keys, band.following, how), band.reach == how
        for asked, there in ((new, inside), (~new, inside & band.farther)):
            buckets = _Buckets(told[0], np.flatnonzero(there), told[1][asked])
            for a, b in buckets.look_up(told[1], np.flatnonzero(asked)):
                kept = (a != b) & likely(a, b, band.view)
                found.append(_distinct(np.minimum(a, b)[kept] * count + np.maximum(a, b)[kept]))
    return _distinct(np.concatenate(found))


def _are_candidates(
    left: Ints, right: Ints, keys: Keys, reach: Reach, likely: Callable[[Ints, Ints, int], Bools]
) -> Bools:
    """(P,) whether the pairs are."""
    are = np.zeros(len(left), np.bool_)
    for asked, there in ((left, right), (right, left)):
        by_view = _reached(keys, reach, asked, there)
        for view in range(keys.shape[1]):
            some = np.flatnonzero(by_view[:, view])
            are[some] |= likely(asked[some], there[some], view)
    return are


def _reach(keys: Keys, crowd: int, executor: Executor) -> Reach:
    """(N, bands): how each can be reached, 0 for not at all: it comes late in a crowd."""
    firsts = _by_two(keys[:, :1])
    return np.stack([*executor.in_order(partial(_reach_by, crowd=crowd), firsts)], axis=1)


def _reach_by(band: tuple[Keys, Keys], crowd: int) -> Reach:
    """(N,) by one band."""
    told = band[0][:, 0]
    low = told & LOW
    crowded = np.flatnonzero(np.bincount(low)[low] > crowd)  # by the low bits: more than there are
    order, _, size = _ordered(told[crowded])
    crowded = np.sort(crowded[order[size > crowd]])
    reach = np.full(len(told), BY_ONE, np.uint8)
    reach[crowded] = 0
    order, start, _ = _ordered(_told(band[0][crowded], band[1][crowded], BY_TWO)[0])
    reach[crowded[order[np.arange(len(order)) - start < crowd]]] = BY_TWO
    return reach


def _ordered(told: Told) -> tuple[Ints, Ints, Ints]:
    """Things by key, the first before those after; where the run of equal keys of each begins, and its length."""
    order = np.argsort(told, kind="stable")
    return order, *runs(told[order])


def runs(ordered: Told | Ints) -> tuple[Ints, Ints]:
    """Where the run of equal values of each begins, and how long it is."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else np.zeros(0, int)
    sizes = np.diff(np.append(starts, len(ordered)))
    return np.repeat(starts, sizes), np.repeat(sizes, sizes)


class _Buckets:
    """Those `there` in the buckets of one band that may be asked for."""

    def __init__(self, told: Told, there: Ints, asked: Told) -> None:
        there = there[_may_be_of(asked)(told[there])]
        order = np.argsort(told[there], kind="stable")
        self._there = there[order]
        self._told = told[self._there]
        _, self._size = runs(self._told)
        self._may_be_here = _may_be_of(self._told)

    def look_up(self, told: Told, asked: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Those asked for, and what is in their buckets, some at a time."""
        asked = asked[self._may_be_here(told[asked])]
        low = np.searchsorted(self._told, told[asked]).clip(max=len(self._told) - 1)
        here = self._told[low] == told[asked]
        asked, low = asked[here], low[here]
        counts = self._size[low]
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


def _told(band: Keys, following: Keys, how: int) -> Told:
    """(views, N): the keys of a band, or of it and the next one."""
    told = np.ascontiguousarray(band.T)
    return told if how == BY_ONE else told.astype(np.uint64) << np.uint64(32) | following.T


def _may_be_of(known: Told) -> Callable[[Told], Bools]:
    """Tells which may be among the known: never wrongly that one isn't, and far sooner than a search."""
    low = np.zeros(LOW + 1, np.bool_)
    low[known & LOW] = True
    return lambda told: low[told & LOW]


def _distinct(numbers: Ints) -> Ints:
    """Sorted, each once; `np.unique` hashes, which takes five times as long for what is sorted anyway."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
