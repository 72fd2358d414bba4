"""Whether two pictures have the same colours in the same places, once it is known how they lie over one another.

Compared is what is left of each colour without its grey, on an 8x8 grid. The more of one picture is cut off, the less
its cells are those of the other; next to another colour a cell may then be off. Figures in docs/log.md.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from workbench.catalog.duplicates.overlay import Floats, warp

SIDE, FINE = 8, 4  # cells of an axis, and parts of a cell
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, as in a thumbnail
OVER_ALL, WORST = (0.26, 2.0), (1.1, 12.0)  # the most that may differ: where nothing is cut off, and more for each side
NOISE, STRONGER, BESIDE = 6, 0.15, 0.25  # levels that a cell may be off, shares of its colour and of those beside it


def same_colours(whole: NDArray[np.uint8], cut: NDArray[np.uint8], windows: Floats) -> NDArray[np.bool_]:
    """(P,) whether `cut` (P, 8, 8, 3) has the colours of the `windows` (P, 4) of `whole`."""
    seen, wanted = _tints(_cut(whole.astype(np.float32), windows)), _tints(cut.astype(np.float32))
    missing = np.linalg.norm(wanted - seen, axis=3)
    strength = np.maximum(np.linalg.norm(seen, axis=3), np.linalg.norm(wanted, axis=3))
    over_all = _rms(missing) / (_rms(strength) + NOISE)
    worst = (missing / (NOISE + STRONGER * strength + BESIDE * _beside(wanted))).max(axis=(1, 2), initial=0)
    margin = np.abs(windows).max(axis=1, initial=0)
    same: NDArray[np.bool_] = (over_all <= OVER_ALL[0] + OVER_ALL[1] * margin) & (worst <= WORST[0] + WORST[1] * margin)
    return same


def _tints(colours: Floats) -> Floats:
    """Without the grey: 0 for white, grey and black."""
    tints: Floats = colours - (colours @ GREY)[..., None]
    return tints


def _cut(colours: Floats, windows: Floats) -> Floats:
    """(P, 8, 8, 3): each window stretched to the whole, the colours running from cell to cell."""
    planes = colours.transpose(0, 3, 1, 2).reshape(-1, SIDE, SIDE)
    parts: Floats = (_sloped() @ planes @ _sloped().T).astype(np.float32)
    fine = warp(parts, np.repeat(windows, 3, axis=0))
    means = fine.reshape(-1, 3, SIDE, FINE, SIDE, FINE).mean(axis=(3, 5))
    cells: Floats = means.transpose(0, 2, 3, 1)
    return cells


@cache
def _sloped() -> Floats:
    """(32, 8): cells -> parts of cells of the same mean, that rise as the cells beside do."""
    cell, place = np.divmod(np.arange(SIDE * FINE), FINE)
    slope = ((place + 0.5) / FINE - 0.5)[:, None] / 2
    cells = np.eye(SIDE)
    sloped: NDArray[np.float64] = cells[cell] + slope * (
        cells[np.minimum(cell + 1, SIDE - 1)] - cells[np.maximum(cell - 1, 0)]
    )
    return sloped.astype(np.float32)


def _beside(tints: Floats) -> Floats:
    """(P, 8, 8) how much each cell differs from the one beside it that differs most."""
    padded = np.pad(tints, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    around = [padded[:, i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3)]
    beside: Floats = np.max([np.linalg.norm(other - tints, axis=3) for other in around], axis=0)
    return beside


def _rms(cells: Floats) -> Floats:
    rms: Floats = np.sqrt((cells**2).mean(axis=(1, 2)))
    return rms
