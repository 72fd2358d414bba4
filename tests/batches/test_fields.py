"""A field taken out of texts, and put there as [MASK]s; against what one would write by hand."""

import pytest
import torch

from workbench.batch import Batch
from workbench.batches.fields import NONE, Words, asking, without

PAD, CLS, SEP, MASK, TITLE, BRAND, COLOUR = range(7)
WORDS = Words(PAD, MASK, max_length=10, markers=(TITLE, BRAND, COLOUR))
WHOLE = [CLS, TITLE, 11, 12, BRAND, 13, COLOUR, 14, SEP]


def batch(*texts: list[int]) -> Batch:
    longest = max(map(len, texts))
    tokens = torch.tensor([text + [PAD] * (longest - len(text)) for text in texts])
    n, real = len(texts), tokens != PAD
    every, nothing = torch.ones(n, dtype=torch.bool), torch.zeros(n, 4, dtype=torch.bool)
    pixels = torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
    return Batch(torch.arange(n), tokens, tokens, real, real & False, pixels, nothing, every, real.sum(1) > 2)


def texts(found: Batch) -> list[list[int]]:
    return [row[real].tolist() for row, real in zip(found.shown_BL, found.text_real_BL, strict=True)]


@pytest.mark.parametrize(
    "marker, wanted",
    [
        (TITLE, [CLS, BRAND, 13, COLOUR, 14, SEP]),
        (BRAND, [CLS, TITLE, 11, 12, COLOUR, 14, SEP]),
        (COLOUR, [CLS, TITLE, 11, 12, BRAND, 13, SEP]),
        (NONE, WHOLE),
    ],
)
def test_a_field_is_left_out(marker: int, wanted: list[int]) -> None:
    found = without(batch(WHOLE), torch.tensor([marker]), WORDS)
    assert texts(found) == [wanted] and found.tokens_BL.tolist() == [wanted]
    assert not found.text_masked_BL.any()


def test_each_listing_loses_its_own_and_those_without_it_nothing() -> None:
    some = batch(WHOLE, [CLS, TITLE, 11, SEP], [CLS, BRAND, 13, SEP], [CLS, SEP])
    found = without(some, torch.tensor([BRAND, COLOUR, BRAND, TITLE]), WORDS)
    assert texts(found) == [[CLS, TITLE, 11, 12, COLOUR, 14, SEP], [CLS, TITLE, 11, SEP], [CLS, SEP], [CLS, SEP]]
    assert found.has_text_B.tolist() == [True, True, False, False]
    assert found.tokens_BL.shape == (4, 7) and (found.tokens_BL[~found.text_real_BL] == PAD).all()


def test_an_answer_is_asked_where_its_field_belongs() -> None:
    some = batch([CLS, TITLE, 11, COLOUR, 14, SEP], WHOLE, [CLS, SEP], [CLS, TITLE, 11, BRAND, 13, SEP])
    answers = torch.tensor([[21, 22], [21, NONE], [21, 22], [21, NONE]])
    found = asking(some, torch.tensor([BRAND, BRAND, BRAND, COLOUR]), answers, WORDS)
    assert texts(found) == [
        [CLS, TITLE, 11, BRAND, MASK, MASK, COLOUR, 14, SEP],
        [CLS, TITLE, 11, 12, BRAND, MASK, COLOUR, 14, SEP],
        [CLS, BRAND, MASK, MASK, SEP],
        [CLS, TITLE, 11, BRAND, 13, COLOUR, MASK, SEP],
    ]
    assert found.tokens_BL[found.text_masked_BL].tolist() == [21, 22, 21, 21, 22, 21]
    assert (found.shown_BL[found.text_masked_BL] == MASK).all()


def test_a_long_text_makes_room() -> None:
    long = [CLS, TITLE, *range(11, 18), SEP]  # as long as texts may be
    found = asking(batch(long), torch.tensor([COLOUR]), torch.tensor([[21, 22]]), WORDS)
    assert texts(found) == [[CLS, TITLE, 11, 12, 13, 14, COLOUR, MASK, MASK, SEP]]
