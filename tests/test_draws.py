"""Draws of many rows at once are those of each row's own generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.draws import stream, streams, uniforms

WORD = st.integers(0, 2**64 - 1)


@given(
    WORD, st.integers(0, 2**32), st.integers(0, 2**40), st.lists(st.integers(0, 2**62), max_size=9), st.integers(1, 11)
)
def test_numbers_of_many_rows_are_those_of_each_rows_generator(seed, purpose, epoch, rows, count):
    drawn = uniforms(seed, purpose, epoch, np.array(rows, np.int64), count)
    assert drawn.shape == (len(rows), count) and drawn.dtype == np.float64
    for row, numbers in zip(rows, drawn, strict=True):
        assert np.array_equal(numbers, stream(seed, purpose, epoch, row).random(count))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint32])
def test_rows_of_any_integer_type(kind):
    assert np.array_equal(uniforms(3, 1, 2, np.arange(4, dtype=kind), 3)[3], stream(3, 1, 2, 3).random(3))


def test_a_seed_may_be_negative_as_for_a_stream():
    assert np.array_equal(uniforms(-1, 1, 0, np.array([7]), 2)[0], stream(-1, 1, 0, 7).random(2))


def test_an_epoch_of_its_own_for_each_row():
    rows, epochs = np.array([5, 5, 6]), np.array([1, 1 + 2**32, 9])
    each = [stream(0, 1, int(epoch), int(row)).random(5) for epoch, row in zip(epochs, rows, strict=True)]
    assert np.array_equal(uniforms(0, 1, epochs, rows, 5), each)
    assert np.array_equal([draws.random(5) for draws in streams(0, 1, epochs, rows)], each)


def test_a_generator_set_from_row_to_row_keeps_nothing_of_the_last():
    """Neither numbers left in its buffer nor the half of one, which `integers` leaves."""
    for row, draws in zip([3, 8, 8, 0], streams(2, 1, 4, np.array([3, 8, 8, 0])), strict=True):
        alone = stream(2, 1, 4, row)
        assert draws.integers(10) == alone.integers(10)
        assert np.array_equal(draws.permutation(20), alone.permutation(20))
        assert draws.random() == alone.random()
