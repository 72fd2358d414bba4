"""What is hidden together: the units of a text and the rectangles of a picture; and what is read in a word's place.

Each is a pure function of (seed, epoch, row), like the masks that are made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.draws import SHOWN, SPANS, Epoch, uniforms
from workbench.errors import RecipeError
from workbench.recipe.schema import Hiding

if TYPE_CHECKING:
    from workbench.text.tokenizer import TextTokenizer

Rows = NDArray[np.int64]
SMALLEST = 16  # patches of a rectangle at least, while so many are left to hide (BEiT, arXiv 2106.08254)
LONGEST = 1 / 0.3  # height:width of a rectangle, and width:height, at most (BEiT)


def text_units(
    hiding: Hiding,
    seed: int,
    epoch: Epoch,
    rows_B: Rows,
    tokens_BL: Rows,
    maskable_BL: NDArray[np.bool_],
    words: TextTokenizer,
) -> Rows:
    """(B, L) the number, from 1 on, of each token's unit in its listing; 0 for what is never hidden.

    A field begins with its marker, a word where the vocabulary says so. A word begins a new span with probability
    1 / `hiding.span`, whatever came before, and where its field begins: so spans have geometric lengths (SpanBERT,
    arXiv 1907.10529) and no border of fields in them. Raises RecipeError for a field that the texts don't have.
    """
    after_gap_BL = maskable_BL & ~_earlier(maskable_BL, False)
    if hiding.fields:
        maskable_BL = maskable_BL & np.isin(_field_BL(tokens_BL, words), _markers(hiding.fields, words))
    if hiding.text_units == "token":
        return number(maskable_BL, maskable_BL)
    place_BL = np.where(maskable_BL, _marker_place_BL(tokens_BL, words), -1)
    begins_field_BL = place_BL > _earlier(np.maximum.accumulate(place_BL, 1), -1)
    if hiding.text_units == "field":
        return number(begins_field_BL, maskable_BL)
    begins_BL = maskable_BL & (words.starts_word_V[tokens_BL] | after_gap_BL)
    if hiding.text_units == "span":
        begins_BL &= uniforms(seed, SPANS, epoch, rows_B, tokens_BL.shape[1]) < 1 / hiding.span
    return number(begins_BL | begins_field_BL, maskable_BL)


def number(begins_BL: NDArray[np.bool_], maskable_BL: NDArray[np.bool_]) -> Rows:
    """(B, L) the unit of each maskable token, from 1 on, told by where units begin; 0 elsewhere."""
    return np.where(maskable_BL, np.cumsum(begins_BL, 1), 0)


def shown(
    hiding: Hiding,
    seed: int,
    epoch: Epoch,
    rows_B: Rows,
    tokens_BL: Rows,
    hidden_BL: NDArray[np.bool_],
    words: TextTokenizer,
) -> Rows:
    """(B, L) the ids that the model reads. With 80/10/10 (BERT) each hidden token is, by itself, [MASK] 8 times in 10,
    any id that a text may hold once, and as it is once."""
    if hiding.shown == "mask":
        return np.where(hidden_BL, words.mask, tokens_BL)
    u_BL = uniforms(seed, SHOWN, epoch, rows_B, tokens_BL.shape[1])
    any_BL = words.ordinary[(np.clip(u_BL * 10 - 8, 0, 1 - 2**-40) * len(words.ordinary)).astype(np.int64)]
    return np.select([~hidden_BL | (u_BL >= 0.9), u_BL >= 0.8], [tokens_BL, any_BL], words.mask)


def blocks(draws: np.random.Generator, patches: int, count: int) -> NDArray[np.bool_]:
    """(P,) `count` patches hidden by rectangles of random area and shape, as BEiT does, until they are so many.

    A rectangle lies around a patch that isn't hidden yet, drawn from all such, and is never larger than what is left to
    hide: so no share is missed and none of them is cut.
    """
    grid, left, numbers = isqrt(patches), count, _numbers(draws)
    hidden, full = bytearray(patches), b"\1" * patches  # a patch of these is looked at sooner than of an array
    while left > 0:
        place = int(next(numbers) * patches)
        if hidden[place]:
            continue
        row, column = divmod(place, grid)
        least = min(SMALLEST, left)
        area = int(least + next(numbers) * (left - least + 1))
        shape = 2 * next(numbers) - 1
        long = min(max(round((area * LONGEST ** abs(shape)) ** 0.5), 1), grid, area)
        high, wide = (long, area // long) if shape > 0 else (area // long, long)
        top = min(max(row - int(next(numbers) * high), 0), grid - high)
        start = min(max(column - int(next(numbers) * wide), 0), grid - wide)
        for first in range(top * grid + start, (top + high) * grid, grid):
            hidden[first : first + wide] = full[:wide]
        left = count - hidden.count(1)
    return np.frombuffer(hidden, bool)


def _numbers(draws: np.random.Generator) -> Iterator[float]:
    while True:
        yield from draws.random(32).tolist()


def _markers(fields: Sequence[str], words: TextTokenizer) -> list[int]:
    for name in fields:
        if name not in words.fields:
            raise RecipeError(
                f"pretrain.masking.fields: {name!r} is no field of the texts; they have {', '.join(words.fields)}"
            )
    return [words.marker(name) for name in fields]


def _field_BL(tokens_BL: Rows, words: TextTokenizer) -> Rows:
    """The marker before each token; what stands first in the text where there is none."""
    return np.take_along_axis(tokens_BL, _marker_place_BL(tokens_BL, words), 1)


def _marker_place_BL(tokens_BL: Rows, words: TextTokenizer) -> Rows:
    places_BL = np.where(np.isin(tokens_BL, words.vocabulary.markers), np.arange(tokens_BL.shape[1]), 0)
    return np.maximum.accumulate(places_BL, 1)


def _earlier(values_BL: NDArray[Any], first: Any) -> NDArray[Any]:
    """Each position's value is that of the position before."""
    return np.concatenate([np.full_like(values_BL[:, :1], first), values_BL[:, :-1]], 1)
