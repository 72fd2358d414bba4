"""Near-duplicate pictures: the same picture in another size, compression or brightness, or with its edges cut off.

Candidates come from a perceptual hash (signs of random projections of the low frequencies, in bands), taken of each
picture as it is and of what is left of it when its edges are cut in six ways: a cut copy looks like one of these.
Candidates are then laid over one another on their 32x32 thumbnails, moved and stretched until they fit best, and
compared place by place: only so are two drawings told apart that differ in a detail.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from workbench.catalog.duplicates.bands import Bools, Ints, Keys, candidates
from workbench.catalog.duplicates.overlay import SIDE, compare

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
MOST_BITS = 54  # of 300 that differ: at an angle whose cosine is 0.85 about that many do
PLAIN = 6  # grey levels of spread, below which a picture has nothing to be known by
AT_ONCE = 256  # pairs compared, pictures hashed: what a processor's cache holds

Thumbs = NDArray[np.uint8]  # (N, 32, 32)
Scores = NDArray[np.float64]


def likely_pairs(thumbs: Thumbs, seed: int = 0) -> tuple[Ints, Ints, Ints]:
    """Candidates left < right, ascending, and which way of cutting fits best: of the left, or (from 7 on) the right."""
    plain = np.ptp(thumbs.reshape(len(thumbs), -1), axis=1) < PLAIN if len(thumbs) else np.zeros(0, bool)
    views = [_keys(thumbs, window, seed) for window in range(len(WINDOWS))]
    packed = [_packed(keys) for keys in views]

    def likely(asked: Ints, found: Ints, view: int) -> Bools:
        close: Bools = _distance(packed[view][asked], packed[0][found]) <= MOST_BITS
        seen: Bools = close & ~plain[asked] & ~plain[found]
        return seen

    left, right = candidates(views, CROWD, likely)
    best = np.zeros(len(left), np.int64)
    least = np.full(len(left), 999)
    for side, (a, b) in enumerate(((left, right), (right, left))):
        for view in range(len(WINDOWS)):
            distance = _distance(packed[view][a], packed[0][b])
            best[distance < least] = side * len(WINDOWS) + view
            least = np.minimum(least, distance)
    return left, right, best


def score_pairs(thumbs: Thumbs, left: Ints, right: Ints, view: Ints) -> Scores:
    """How alike each pair is, 0 for no near-duplicate; `view` as `likely_pairs` gives it."""
    turned = view >= len(WINDOWS)
    whole, cut = np.where(turned, right, left), np.where(turned, left, right)
    windows = np.array(WINDOWS, np.float32)[view % len(WINDOWS)]
    return compare(thumbs[whole], thumbs[cut], windows)


def _keys(thumbs: Thumbs, window: int, seed: int) -> Keys:
    """(N, BANDS): the bits of each band. In whole numbers below 2**53, which floats of every machine add alike."""
    left, top, right, bottom = WINDOWS[window]
    down, across = _waves(top, bottom), _waves(left, right)
    frequency = np.hypot(*np.mgrid[:LOW, :LOW])
    chosen = (frequency > 0) & (frequency <= HIGHEST)
    weights = np.rint(8 * np.sqrt(frequency[chosen]))
    planes = weights[:, None] * _signs(len(weights), seed)
    keys = np.zeros((len(thumbs), BANDS), np.uint32)
    for start in range(0, len(thumbs), AT_ONCE):
        some = thumbs[start : start + AT_ONCE].astype(np.float64)
        bits = (down @ some @ across.T)[:, chosen] @ planes > 0
        keys[start : start + AT_ONCE] = bits.reshape(-1, BANDS, BITS) @ (1 << np.arange(BITS)).astype(np.uint32)
    return keys


@cache
def _waves(low: float, high: float) -> NDArray[np.float64]:
    """(LOW, SIDE): the cosine transform of one axis after `low` and `high` of it are cut off, times 2**12."""
    place, frequency = np.arange(SIDE) + 0.5, np.arange(LOW)[:, None]
    waves = np.cos(np.pi * frequency * place / SIDE)
    edges = SIDE * np.linspace(low, 1 - high, SIDE + 1)
    cells = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    stretched = np.clip(overlap, 0, None) / (edges[1] - edges[0])
    rounded: NDArray[np.float64] = np.rint(2**9 * waves @ stretched)
    return rounded


@cache
def _signs(count: int, seed: int) -> NDArray[np.float64]:
    """(count, BANDS * BITS) of -1 and 1: random planes."""
    bits = np.random.Philox(key=seed).random_raw(count * BANDS * BITS) >> np.uint64(63)
    return bits.reshape(count, -1).astype(np.float64) * 2 - 1


def _packed(keys: Keys) -> NDArray[np.uint64]:
    """(N, BANDS / 3): three bands a word."""
    wide = keys.astype(np.uint64)
    shifts = np.array([0, BITS, 2 * BITS], np.uint64)
    packed: NDArray[np.uint64] = (wide.reshape(len(keys), -1, 3) << shifts).sum(axis=2, dtype=np.uint64)
    return packed


def _distance(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> Ints:
    distance: Ints = np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int64)
    return distance
