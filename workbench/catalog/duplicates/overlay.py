"""Two thumbnails laid over one another: moved, stretched and lightened until they fit best; then what still differs.

The fit is Lucas and Kanade's (1981), on 16x16 thumbnails, of four margins and a linear change of brightness. What is
left is looked at in means over 3x3 places, in which the blur of resizing cancels out while a different shape stays;
next to strong edges more may be left. Figures in docs/log.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels of a thumbnail
STEPS = 2  # of a fit
REACH = 0.08  # share of a side: the widest margin
# What may differ before the fit, and after a rough one: over all, in shares of a picture's spread, and in one place.
# Of near-duplicates 999 in 1,000 stay below 0.43, 13 and 0.32, 7.2; of what resembles them three in five don't.
ROUGH, CLOSE = (0.5, 15.0), (0.35, 8.0)
SURE = 0.83  # score from which on a pair is near-duplicates whatever their texts are
SPREAD, PLACE = (0.12, 1.2), (1.4, 18.0)  # the most that may differ over all, in one place: uncut, more for each side
SPREAD_UNSURE, PLACE_UNSURE = 0.2, 2.8  # the same for listings alike in text
OUTSIDE, WIDEST = 0.02, 0.07  # shares of a side: what is missing is missing from one of two pictures, and not more
GAIN, SHIFT = 1.25, 25  # the most that brightness may change: factor, grey levels
DARK, LIGHT = 4, 247  # outside of these a grey is cut off, and says nothing of brightness

Floats = NDArray[np.float32]


def compare(whole: NDArray[np.uint8], cut: NDArray[np.uint8], windows: Floats) -> tuple[NDArray[np.float64], Floats]:
    """How well (P, 32, 32) `cut` fits a part of `whole`, 0 for not, else up to 1, in hundredths; and which part.

    Below SURE it takes a like text to tell.
    `windows` (P, 4): about what is missing left, at the top, right, at the bottom, in shares of a side.
    """
    a, b = whole.astype(np.float32), cut.astype(np.float32)
    scores, rest, fitted = np.zeros(len(a)), np.arange(len(a)), windows.copy()
    for (most, most_there), look_closer in ((ROUGH, _fit_halves), (CLOSE, fit)):
        spread, place = _left_over(warp(a, windows), b)
        like = (spread < most) & (place < most_there)
        rest, a, b = rest[like], a[like], b[like]
        windows = look_closer(a, b, windows[like])
    spread, place = _left_over(warp(a, windows), b)
    like = (spread <= SPREAD_UNSURE) & (place <= PLACE_UNSURE)
    margin = np.abs(windows).max(axis=1, initial=0)
    sure = (spread <= SPREAD[0] + SPREAD[1] * margin) & (place <= PLACE[0] + PLACE[1] * margin)
    sure &= (windows.min(axis=1, initial=0) >= -OUTSIDE) & (margin <= WIDEST) & (spread <= 1 - SURE)
    score = 1 - spread.astype(np.float64)
    scores[rest[like]] = np.round(np.where(sure, score, np.minimum(score, SURE - 0.01)), 2)[like]
    fitted[rest] = windows
    return scores, fitted


def _fit_halves(a: Floats, b: Floats, windows: Floats) -> Floats:
    half_a, half_b = (x.reshape(len(x), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4)) for x in (a, b))
    return fit(half_a, half_b, windows)


def fit(a: Floats, b: Floats, windows: Floats) -> Floats:
    """(P, 4): the windows of `a` (P, S, S) that look most like `b`, near those given."""
    side = a.shape[1]
    u = ((np.arange(side) + 0.5) / side).astype(np.float32)
    damp = np.diag([2e4 / 4] * 4 + [1, 1e-2]).astype(np.float32)
    found = windows.copy()
    for _ in range(STEPS if len(a) else 0):
        seen = warp(a, found)
        down, across = (np.gradient(seen, axis=axis) * side for axis in (1, 2))
        slopes = [across * (1 - u), down * (1 - u)[:, None], -across * u, -down * u[:, None], seen, np.ones_like(seen)]
        slopes_PKC = np.stack(slopes, axis=3)[:, 1:-1, 1:-1].reshape(len(a), -1, 6)
        missing = (b - seen)[:, 1:-1, 1:-1].reshape(len(a), -1, 1)
        turned = slopes_PKC.transpose(0, 2, 1)
        step = np.linalg.solve(turned @ slopes_PKC + damp, turned @ missing)[:, :4, 0]
        found = np.clip(found + np.clip(step, -0.02, 0.02), -REACH, REACH).astype(np.float32)
    return found


def warp(a: Floats, windows: Floats) -> Floats:
    """(P, S, S): each window of `a` stretched to the whole, by area; beyond the edge lies the edge's grey."""
    left, top, right, bottom = windows.T
    return _stretch(_stretch(a, left, 1 - right).transpose(0, 2, 1), top, 1 - bottom).transpose(0, 2, 1)


def _stretch(a: Floats, low: Floats, high: Floats) -> Floats:
    """Along the last axis: differences of the running sum at the new edges."""
    side, pad = a.shape[2], 3
    padded = np.pad(a, ((0, 0), (0, 0), (pad, pad)), mode="edge")
    sums = np.zeros((len(a), side + 2 * pad + 1, a.shape[1]), np.float32)
    np.cumsum(padded.transpose(0, 2, 1), axis=1, out=sums[:, 1:])
    edges = (low[:, None] + (high - low)[:, None] * np.linspace(0, 1, side + 1, dtype=np.float32)) * side + pad
    cell = np.clip(edges.astype(np.int64), 0, side + 2 * pad - 1)
    share = (edges - cell)[:, :, None].astype(np.float32)
    pair = np.arange(len(a))[:, None]
    at = sums[pair, cell] * (1 - share) + sums[pair, cell + 1] * share
    stretched: Floats = (np.diff(at, axis=1) / (high - low)[:, None, None]).transpose(0, 2, 1)
    return stretched


def _left_over(seen: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """What differs after a change of brightness: over all, in shares of the spread; and in the worst place."""
    lit = _lit(seen, wanted)
    missing = wanted - lit
    missing[(seen >= LIGHT) & (wanted >= LIGHT)] = 0
    means, near = _mean3(missing), _mean3(lit)
    edges = np.sqrt(np.maximum(_mean3(lit * lit) - near * near, 0))
    spread = _flat(wanted).std(axis=1) + 3
    over_all: Floats = np.sqrt((means**2).mean(axis=(1, 2))) / spread
    worst: Floats = _flat((np.abs(means) / (6 + 0.35 * edges)).astype(np.float32)).max(axis=1)
    return over_all, worst


def _lit(seen: Floats, wanted: Floats) -> Floats:
    """`seen` in the brightness of `wanted`: a line through the greys that neither cuts off, held near no change."""
    flat, goal = _flat(seen), _flat(wanted)
    used = ((flat > DARK) & (flat < LIGHT) & (goal > DARK) & (goal < LIGHT)).astype(np.float32)
    count = used.sum(axis=1) + 1e-6
    mean, goal_mean = ((used * greys).sum(axis=1) / count for greys in (flat, goal))
    off = (flat - mean[:, None]) * used
    gain = ((off * (goal - goal_mean[:, None])).sum(axis=1) + 2000) / ((off * off).sum(axis=1) + 2000)
    gain = np.clip(gain, 1 / GAIN, GAIN)
    shift = np.where(count > 8, np.clip(goal_mean - gain * mean, -SHIFT, SHIFT), 0)
    lit: Floats = np.clip(gain[:, None] * flat + shift[:, None], 0, 255).reshape(seen.shape).astype(np.float32)
    return lit


def _flat(a: Floats) -> Floats:
    """(P, places): what `reshape(P, -1)` is, also of no pair at all."""
    return a.reshape(len(a), a.shape[1] * a.shape[2])


def _mean3(a: Floats) -> Floats:
    """(P, S - 2, S - 2): means over 3x3 places."""
    rows = a[:, :-2] + a[:, 1:-1] + a[:, 2:]
    means: Floats = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    return means
