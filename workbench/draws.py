"""Random numbers as a pure function of (seed, purpose, epoch, row): every draw of masks, orders, crops is one of these.

Each stream is a Philox generator, whose numbers are a function of a key and a counter. The key is (seed, purpose);
epoch and row are the counter's middle words, above the lowest, which is Philox's own position. So no two streams
share numbers, whatever the batch, the order or the number of workers.
"""

from __future__ import annotations

import numpy as np

MASKING, MODALITY, ORDER, AUGMENT, LABELS, FETCH, PICTURE = 1, 2, 3, 4, 5, 6, 7  # purposes
_WORD = 2**64 - 1


def stream(seed: int, purpose: int, epoch: int = 0, row: int = 0) -> np.random.Generator:
    """The generator of one purpose for one row in one epoch."""
    key, counter = ([seed & _WORD, purpose], [0, epoch, row, 0])  # of Python's ints NumPy would make floats
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64), counter=np.array(counter, np.uint64)))
