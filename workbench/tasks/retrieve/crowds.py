"""Batches made of products that are alike, so that the wrong answers in them are hard ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.draws import NEAR, stream

CROWD = 4  # listings that are alike, in a batch
NEAREST = 10  # of which the others of a crowd are drawn

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Crowds:
    """Draws in place of `Frequencies`: a quarter of a batch is as the order has it, and brings the others.

    A function of the seed, the epoch and the batch's places alone, so that any step is known without those before it.
    Over four epochs each listing comes once by itself, and as often as it is like others.
    """

    near_mK: Ints  # places of those most like each of the m things; -1: no more

    @classmethod
    def among(cls, places: Ints, near_nK: Ints) -> Crowds:
        """Of the things at these places only: they are numbered anew."""
        number = np.full(len(near_nK) + 1, -1)  # the last is that of -1
        number[places] = np.arange(len(places))
        return cls(number[near_nK[places]])

    def draw(self, seed: int, epoch: int, places: NDArray[np.integer]) -> tuple[Ints, Ints]:
        """(B,) things, each once, and zeros: none was drawn before."""
        found: dict[int, None] = {}
        for place in places.tolist():
            if len(found) >= len(places):
                break
            near = self.near_mK[place]
            drawn = stream(seed, NEAR, epoch, place).permutation(near[near >= 0])
            crowd = [thing for thing in (place, *drawn.tolist()) if thing not in found][:CROWD]
            found |= dict.fromkeys(crowd[: len(places) - len(found)])
        found |= dict.fromkeys([p for p in places.tolist() if p not in found][: len(places) - len(found)])
        return np.array(list(found), np.int64), np.zeros(len(found), np.int64)
