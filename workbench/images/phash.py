"""How a picture looks, in few bytes: a perceptual hash, a grey thumbnail and a coarse coloured one, by which
near-duplicates are found."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32  # pixels of the thumbnail, and of the grey picture that is hashed
COLOUR_SIDE = 8  # of the coloured one
LOW = 8  # lowest frequencies of each axis that enter the hash


class Look(NamedTuple):
    phash: int  # 64 bits; few differ between two versions of one picture
    thumb: bytes  # SIDE x SIDE greys, row by row: the picture stretched, each pixel the mean about its area
    colours: bytes  # COLOUR_SIDE x COLOUR_SIDE of red, green, blue, in the same way


def look(image: Image.Image) -> Look:
    """The look of a picture of any size, in about 0.2 ms.

    The hash is pHash as `imagehash.phash` has it: the grey picture stretched to 32x32 (Lanczos), its discrete cosine
    transform (type II), and whether each of the 8x8 lowest frequencies is above their median. In whole numbers, which
    every machine adds alike: of a flat picture rounding alone would make the bits.
    """
    factors = tuple(max(1, int(length / SIDE / 3)) for length in image.size)
    less = image.reduce(factors)  # type: ignore[arg-type] # a pair
    box = (0, 0, image.width / factors[0], image.height / factors[1])
    small = less.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, box, reducing_gap=2.0)
    low = (_cosines() @ np.asarray(small, np.int64) @ _cosines().T).ravel()
    middle = np.partition(low, (31, 32))[31:33].sum()  # twice the median
    bits = np.packbits(2 * low > middle)
    coarse = less.resize((SIDE, SIDE), Image.Resampling.HAMMING, box)  # BOX would take whole pixels only
    colours = coarse.convert("RGB").reduce(SIDE // COLOUR_SIDE)
    return Look(int.from_bytes(bits.tobytes(), "big"), coarse.convert("L").tobytes(), colours.tobytes())


@cache
def _cosines() -> NDArray[np.int64]:
    """(LOW, SIDE): the lowest rows of the cosine transform, times 2**16."""
    frequency, place = np.arange(LOW)[:, None], np.arange(SIDE)[None, :]
    waves = np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))
    scaled: NDArray[np.int64] = np.rint(2**16 * waves).astype(np.int64)
    return scaled
