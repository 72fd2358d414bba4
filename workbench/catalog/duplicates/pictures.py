"""Near-duplicate pictures: the same picture in another size, compression or brightness, or with its edges cut off.

Candidates come from a perceptual hash (signs of random projections of the low frequencies, in bands), taken of each
picture as it is and of what is left of it when its edges are cut in six ways: a cut copy looks like one of these.
Candidates are then laid over one another on their 32x32 thumbnails, moved and stretched until they fit best, and
compared place by place, in grey and in colour: only so are two drawings told apart that differ in a detail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from workbench.catalog.duplicates.bands import Bools, Ints, Keys
from workbench.catalog.duplicates.overlay import SIDE, compare
from workbench.catalog.duplicates.tints import same_colours

BANDS, BITS = 15, 20
CROWD = 100  # pictures in a bucket
LOW, HIGHEST = 8, 6  # of each axis the lowest frequencies; of those the ones no farther than this from zero
HALF, EDGE = 0.025, 0.05  # shares of a side
WINDOWS = (  # what is cut off: left, top, right, bottom
    (0.0, 0.0, 0.0, 0.0),
    (HALF, HALF, HALF, HALF),
    (EDGE, EDGE, EDGE, EDGE),
    (EDGE, EDGE, 0.0, 0.0),
    (0.0, 0.0, EDGE, EDGE),
    (EDGE, 0.0, 0.0, EDGE),
    (0.0, EDGE, EDGE, 0.0),
)
MOST_BITS, MOST_ROUGH = 40, 56  # of 300 that differ; of two rough pictures, whose places are each like none beside it
RESEMBLE, RESEMBLE_ROUGH = 0.8, 0.5  # least correlation of candidates
NEAREST = 8  # each picture is compared with so many that fit it best
ROUGH = 0.6  # mean difference of neighbours, in shares of the spread
GREYS = 2  # steps of the mean picture's frequencies
PLAIN = 6  # grey levels of spread, below which a picture has nothing to be known by
AT_ONCE = 256  # pairs compared: what a processor's cache holds
SIGNED_AT_ONCE = 64  # pictures: of more BLAS makes threads of its own, which take ten times the processor's time

Thumbs = NDArray[np.uint8]  # (N, 32, 32)
Colours = NDArray[np.uint8]  # (N, 8, 8, 3)
Doubles = NDArray[np.float64]


def usual(thumbs: Thumbs) -> Doubles:
    """(LOW, LOW): the mean picture's frequencies, in steps of GREYS; a few other pictures hardly ever change it."""
    mean = (16 * thumbs.sum(axis=0, dtype=np.int64) // max(len(thumbs), 1)).astype(np.float64)
    step = GREYS * 2.0**18 * SIDE**2
    steps: Doubles = np.rint(_waves(0, 0) @ mean @ _waves(0, 0).T / (16 * step)) * step
    return steps


def signed(thumbs: Thumbs, usual: Doubles) -> Keys:
    """(N, windows, BANDS): the bits of each band, of each picture cut in every way."""
    keys = np.zeros((len(thumbs), len(WINDOWS), BANDS), np.uint32)
    for window in range(len(WINDOWS)):
        keys[:, window] = _keys(thumbs, window, usual)
    return keys


def likeness(thumbs: Thumbs, keys: Keys) -> Callable[[Ints, Ints, int], Bools]:
    """Tells which pairs are alike in most bits, and not plain: `candidates` asks it."""
    plain = np.ptp(thumbs.reshape(-1, SIDE * SIDE), axis=1) < PLAIN
    return partial(_likely, _packed(keys), _rough(thumbs), plain)


def _likely(packed: NDArray[np.uint64], rough: Bools, plain: Bools, asked: Ints, found: Ints, view: int) -> Bools:
    most = np.where(rough[asked] & rough[found], MOST_ROUGH, MOST_BITS)
    close: Bools = _distance(packed[asked, view], packed[found, 0]) <= most
    seen: Bools = close & ~plain[asked] & ~plain[found]
    return seen


def closest(thumbs: Thumbs, keys: Keys, left: Ints, right: Ints) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(P,) which way of cutting fits best, of the left or (from 7 on) the right; and how well, 0 for not enough."""
    packed = _packed(keys)
    best = np.zeros(len(left), np.uint8)
    least = np.full(len(left), 999)
    for side, (a, b) in enumerate(((left, right), (right, left))):
        for view in range(len(WINDOWS)):
            distance = _distance(packed[a, view], packed[b, 0])
            best[distance < least] = side * len(WINDOWS) + view
            least = np.minimum(least, distance)
    fit = _resemblance(thumbs, left, right, best).round(3)
    rough = _rough(thumbs)
    fit[fit < np.where(rough[left] & rough[right], RESEMBLE_ROUGH, RESEMBLE)] = 0
    return best, fit


def nearest(count: int, left: Ints, right: Ints, fit: NDArray[np.float32]) -> Bools:
    """(P,) whether a pair is among the NEAREST that fit one of its ends best."""
    near: Bools = _nearest(count, left, right, fit) < NEAREST
    return near


def _rough(thumbs: Thumbs) -> Bools:
    """(N,) whether neighbours differ as much as any two places do, as in noise, fabric, foliage."""
    rough = np.zeros(len(thumbs), np.bool_)
    for start in range(0, len(thumbs), AT_ONCE):
        some = thumbs[start : start + AT_ONCE].astype(np.float32)
        steps = np.abs(np.diff(some, axis=2)).mean(axis=(1, 2))
        rough[start : start + AT_ONCE] = steps > ROUGH * (some.std(axis=(1, 2)) + 1)
    return rough


def _resemblance(thumbs: Thumbs, left: Ints, right: Ints, view: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(P,) correlation of 16x16 thumbnails, the one cut as `view` says."""
    fit = np.zeros(len(left), np.float32)
    whole = small(thumbs, 0)
    for number in range(len(WINDOWS)):
        for side, (a, b) in enumerate(((left, right), (right, left))):
            ours = np.flatnonzero(view == side * len(WINDOWS) + number)
            ends, at = np.unique(a[ours], return_inverse=True)
            cut = small(thumbs[ends], number) if number else whole[ends]
            for start in range(0, len(ours), 16 * AT_ONCE):
                some = slice(start, start + 16 * AT_ONCE)
                pair = cut[at[some]].astype(np.float32), whole[b[ours[some]]].astype(np.float32)
                fit[ours[some]] = np.einsum("pk,pk->p", *pair)
    return fit


def small(thumbs: Thumbs, window: int, side: int = SIDE // 2) -> NDArray[np.float16]:
    """(N, side * side): each made smaller, cut, of mean 0 and length 1."""
    down, across = _fewer(window, side)
    small = np.zeros((len(thumbs), side * side), np.float16)
    for start in range(0, len(thumbs), AT_ONCE):
        some = (down @ thumbs[start : start + AT_ONCE].astype(np.float64) @ across.T).reshape(-1, small.shape[1])
        some -= some.mean(axis=1, keepdims=True)
        small[start : start + AT_ONCE] = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1)
    return small


@cache
def _fewer(window: int, side: int) -> tuple[Doubles, Doubles]:
    """(side, SIDE) each: lines and columns of a thumbnail, cut and made smaller."""
    left, top, right, bottom = WINDOWS[window]
    fewer = np.kron(np.eye(side), np.full(SIDE // side, side / SIDE))
    return fewer @ _stretched(top, bottom), fewer @ _stretched(left, right)


def _nearest(count: int, left: Ints, right: Ints, fit: NDArray[np.float32]) -> Ints:
    """(P,) how many others fit one end of a pair better than the other end does; of the end for which fewer do."""
    fewest = np.full(len(left), count, np.int64)
    for end in (left, right):
        order = np.lexsort((-fit, end))
        starts = np.searchsorted(end[order], np.arange(count))
        fewest[order] = np.minimum(fewest[order], np.arange(len(order)) - starts[end[order]])
    return fewest


def score_pairs(thumbs: Thumbs, colours: Colours, left: Ints, right: Ints, view: NDArray[np.uint8]) -> Doubles:
    """How alike each pair is, 0 for no near-duplicate; `view` as `closest` gives it."""
    turned = view >= len(WINDOWS)
    whole, cut = np.where(turned, right, left), np.where(turned, left, right)
    windows = np.array(WINDOWS, np.float32)[view % len(WINDOWS)]
    scores, windows = compare(thumbs[whole], thumbs[cut], windows)
    near = np.flatnonzero(scores)
    scores[near] *= same_colours(colours[whole[near]], colours[cut[near]], windows[near])
    return scores


def _keys(thumbs: Thumbs, window: int, usual: Doubles) -> NDArray[np.uint32]:
    """(N, BANDS): the bits of each band. In whole numbers below 2**53, which floats of every machine add alike.

    What all pictures have in common, such as something dark amid white, is taken off first: it tells none apart.
    """
    left, top, right, bottom = WINDOWS[window]
    down, across = _waves(top, bottom), _waves(left, right)
    frequency = np.hypot(*np.mgrid[:LOW, :LOW])
    chosen = (frequency > 0) & (frequency <= HIGHEST)
    weights = np.rint(8 * np.sqrt(frequency[chosen]))
    planes = weights[:, None] * _signs(len(weights))
    keys = np.zeros((len(thumbs), BANDS), np.uint32)
    for start in range(0, len(thumbs), SIGNED_AT_ONCE):
        some = thumbs[start : start + SIGNED_AT_ONCE].astype(np.float64)
        bits = (down @ some @ across.T - usual)[:, chosen] @ planes > 0
        keys[start : start + SIGNED_AT_ONCE] = bits.reshape(-1, BANDS, BITS) @ (1 << np.arange(BITS)).astype(np.uint32)
    return keys


@cache
def _waves(low: float, high: float) -> NDArray[np.float64]:
    """(LOW, SIDE): the cosine transform of one axis after `low` and `high` of it are cut off, times 2**9."""
    place, frequency = np.arange(SIDE) + 0.5, np.arange(LOW)[:, None]
    waves = np.cos(np.pi * frequency * place / SIDE)
    rounded: NDArray[np.float64] = np.rint(2**9 * waves @ _stretched(low, high))
    return rounded


@cache
def _stretched(low: float, high: float) -> NDArray[np.float64]:
    """(SIDE, SIDE): one axis, what is left of it stretched to the whole by area."""
    edges = SIDE * np.linspace(low, 1 - high, SIDE + 1)
    cells = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    stretched: NDArray[np.float64] = np.clip(overlap, 0, None) / (edges[1] - edges[0])
    return stretched


@cache
def _signs(count: int) -> NDArray[np.float64]:
    """(count, BANDS * BITS) of -1 and 1: random planes."""
    bits = np.random.Philox(key=0).random_raw(count * BANDS * BITS) >> np.uint64(63)
    return bits.reshape(count, -1).astype(np.float64) * 2 - 1


def _packed(keys: Keys) -> NDArray[np.uint64]:
    """(N, windows, BANDS / 3): three bands a word."""
    three = keys.reshape(*keys.shape[:2], BANDS // 3, 3)
    packed = three[..., 0].astype(np.uint64)
    for place in (1, 2):
        packed |= three[..., place].astype(np.uint64) << np.uint64(place * BITS)
    return packed


def _distance(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> Ints:
    distance: Ints = np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int64)
    return distance
