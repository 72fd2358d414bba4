"""Random numbers as a pure function of (seed, purpose, epoch, row): every draw of masks, orders, crops is one of these.

Each stream is a Philox generator, whose numbers are a function of a key and a counter. The key is (seed, purpose);
epoch and row are the counter's middle words, above the lowest, which is Philox's own position. So no two streams
share numbers, whatever the batch, the order or the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Epoch = int | NDArray[np.integer]
MASKING, MODALITY, ORDER, AUGMENT, LABELS, FETCH, PICTURE, SPANS, SHOWN = 1, 2, 3, 4, 5, 6, 7, 8, 9  # purposes
ANSWERS, NEAR = 10, 11
_WORD = 2**64 - 1
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)
# Philox4x64's multipliers and what its key grows by at each of ten rounds (Salmon et al. 2011).
_FACTORS = np.array([[0xD2E7470EE14C6C93], [0xCA5A826395121157]], np.uint64)
_FACTORS_HIGH, _FACTORS_LOW = _FACTORS >> _HALF, _FACTORS & _LOW
_WEYL = np.array([[0x9E3779B97F4A7C15], [0xBB67AE8584CAA73B]], np.uint64)


def stream(seed: int, purpose: int, epoch: int = 0, row: int = 0) -> np.random.Generator:
    """The generator of one purpose for one row in one epoch."""
    key, counter = ([seed & _WORD, purpose], [0, epoch, row, 0])  # of Python's ints NumPy would make floats
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64), counter=np.array(counter, np.uint64)))


def streams(seed: int, purpose: int, epoch: Epoch, rows_B: NDArray[np.integer]) -> Iterator[np.random.Generator]:
    """`stream` of each row, to be used before the next is asked for.

    `epoch` is one of all rows, or each row's (B,). One generator is set from row to row, which takes an eighth of the
    time of making it.
    """
    draws = stream(seed, purpose)
    state = draws.bit_generator.state
    for words in zip(np.broadcast_to(epoch, len(rows_B)), rows_B, strict=True):
        state["state"]["counter"][1:3] = words
        draws.bit_generator.state = state
        yield draws


def uniforms(seed: int, purpose: int, epoch: Epoch, rows_B: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """(B, count) numbers in [0, 1): of each row, to the bit, what `stream(seed, purpose, epoch, row).random(count)` is.

    `epoch` is one of all rows, or each row's (B,). All rows at once: 4 times as fast as a generator for each at 64
    rows, 14 times at 256.
    """
    blocks = -(-count // 4)  # of four numbers; NumPy counts them from 1
    counter = np.zeros((4, len(rows_B), blocks), np.uint64)
    counter[0] = np.arange(1, blocks + 1)
    counter[1], counter[2] = np.reshape(epoch, (-1, 1)), np.reshape(rows_B, (-1, 1))
    scrambled = _philox(counter.reshape(4, -1), np.array([[seed & _WORD], [purpose]], np.uint64))
    words = np.moveaxis(scrambled.reshape(counter.shape), 0, 2).reshape(len(rows_B), 4 * blocks)
    return np.asarray((words[:, :count] >> np.uint64(11)) * 2.0**-53)


def _philox(counter_4N: NDArray[np.uint64], key_2: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The four words of each counter, scrambled; a 64-bit product's high word is put together from 32-bit halves."""
    x, y = counter_4N[::2], counter_4N[1::2]
    for _ in range(10):
        high, low = x >> _HALF, x & _LOW
        cross = _FACTORS_LOW * high
        middle = (_FACTORS_LOW * low >> _HALF) + (cross & _LOW) + _FACTORS_HIGH * low
        product_high = _FACTORS_HIGH * high + (cross >> _HALF) + (middle >> _HALF)
        x, y = product_high[::-1] ^ y ^ key_2, (_FACTORS * x)[::-1]
        key_2 = key_2 + _WEYL
    return np.stack([x, y], 1).reshape(counter_4N.shape)
