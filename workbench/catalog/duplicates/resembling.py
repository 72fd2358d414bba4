"""Is a new picture one of a few known ones, saved anew? By the rules of the Duplicates stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.catalog.duplicates.looks import ONE_LOOK, SHADES, SIDE, near_pictures
from workbench.catalog.duplicates.pictures import LOW, PLAIN, RESEMBLE_ROUGH, Colours, small


class Resembling:
    """Known looks: thumbnails and colours of pictures (images/phash.py), and the catalog's usual picture, by which the
    stage tells pictures apart."""

    def __init__(self, looks: Sequence[tuple[bytes, bytes]], usual: Sequence[int]) -> None:
        self._thumbs = np.array([np.frombuffer(t, np.uint8) for t, _ in looks]).reshape(-1, SIDE, SIDE)
        self._colours = np.array([np.frombuffer(c, np.uint8) for _, c in looks]).reshape(-1, 8, 8, 3)
        self._usual = np.array(usual, np.float64).reshape(LOW, LOW)
        self._small = small(self._thumbs, 0).astype(np.float32)

    def __call__(self, thumb: bytes, colours: bytes) -> bool:
        """Whether a picture with this thumbnail and these colours has one of the looks."""
        one = np.frombuffer(thumb, np.uint8).reshape(1, SIDE, SIDE)
        its = np.frombuffer(colours, np.uint8).reshape(1, 8, 8, 3)
        if np.ptp(one) < PLAIN:
            return self._of_one_colour(its)
        alike = np.flatnonzero(self._small @ small(one, 0).astype(np.float32)[0] >= RESEMBLE_ROUGH)
        if not len(alike):  # which is soon told, and so of most
            return False
        thumbs, every = np.concatenate([self._thumbs[alike], one]), np.concatenate([self._colours[alike], its])
        found = near_pictures(thumbs, every, np.arange(len(thumbs), dtype=np.uint64), self._usual, None).pairs
        return bool(((found["right"] == len(alike)) & (found["score"] >= ONE_LOOK)).any())

    def _of_one_colour(self, colours: Colours) -> bool:
        plain = np.ptp(self._thumbs.reshape(-1, SIDE * SIDE), axis=1) < PLAIN
        shades = self._colours[plain].mean(axis=(1, 2)) // SHADES
        return bool((shades == colours.mean(axis=(1, 2)) // SHADES).all(1).any())
