"""Batches collated by hand, and work done ahead in order."""

import threading
import time
from collections.abc import Callable
from dataclasses import astuple, fields, replace
from weakref import ref

import numpy as np
import pytest
import torch

from tests.tiny import CLS, MARKER, PAD, SEP, UNK, listings
from workbench.batch import Batch
from workbench.batches.loader import ahead
from workbench.batches.order import AGAIN
from workbench.images.augment import draw, draw_pictures
from workbench.recipe.schema import Augment, Mam, ModalityDropout, Uniform

IDS = [[MARKER, 7, 8], [MARKER, UNK], [], [MARKER, 9, 10, 11]]
USABLE = [True, False, True, True]


def test_a_batch_is_cls_text_sep_padding_with_its_pictures() -> None:
    batch = listings(IDS, USABLE).batch(np.array([3, 1, 2]))
    assert batch.rows_B.tolist() == [3, 1, 2]
    assert batch.tokens_BL.tolist() == [
        [CLS, MARKER, 9, 10, 11, SEP],
        [CLS, MARKER, UNK, SEP, PAD, PAD],
        [CLS, SEP, PAD, PAD, PAD, PAD],
    ]
    assert batch.text_real_BL.int().tolist() == [[1] * 6, [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert batch.has_text_B.tolist() == [True, True, False]
    assert batch.has_image_B.tolist() == [True, False, True]
    assert not batch.text_masked_BL.any() and not batch.image_masked_BP.any()
    assert batch.image_masked_BP.shape == (3, 4)
    assert batch.pixels_BCHW.shape == (3, 3, 4, 4)
    assert batch.pixels_BCHW.amin((1, 2, 3)).tolist() == batch.pixels_BCHW.amax((1, 2, 3)).tolist() == [4, 0, 3]
    types = {f.name: getattr(batch, f.name).dtype for f in fields(Batch)}
    assert types.pop("rows_B") == types.pop("tokens_BL") == types.pop("shown_BL") == torch.int64
    assert types.pop("pixels_BCHW") == torch.uint8
    assert set(types.values()) == {torch.bool}


def test_markers_unknown_words_and_what_surrounds_a_text_are_never_masked() -> None:
    batch = listings(IDS, USABLE).batch(np.arange(4), masking=Uniform(policy="uniform", text=1, image=1))
    assert batch.tokens_BL[batch.text_masked_BL].tolist() == [7, 8, 9, 10, 11]
    assert batch.image_masked_BP.sum(1).tolist() == [4, 0, 4, 4]  # no picture, no mask


def test_a_batch_is_pure_in_seed_epoch_and_row() -> None:
    made = listings([[MARKER, *range(6, 6 + n % 7)] for n in range(40)], [n % 5 > 0 for n in range(40)])
    how = {
        "masking": Mam(),
        "augment": Augment(),
        "dropout": ModalityDropout(text=0.4, image=0.4),
        "seed": 3,
        "any_picture": True,
    }
    epochs = np.where(np.arange(40) % 2, 2, 2 + AGAIN)  # each listing's own, of a second visit
    together = made.batch(np.arange(40), epoch=epochs, **how)
    whole, picked = astuple(made.pictures.asked[0]), made.pictures.picked[0]  # type: ignore[attr-defined]
    for row in range(40):
        alone = made.batch(np.array([row]), epoch=int(epochs[row]), **how)
        asked = astuple(made.pictures.asked[-1])  # type: ignore[attr-defined]
        assert all((one[0] == many[row]).all() for one, many in zip(asked, whole, strict=True))
        assert made.pictures.picked[-1].tolist() == [picked[row]]  # type: ignore[attr-defined]
        length = alone.tokens_BL.shape[1]
        for f in fields(Batch):
            one, many = getattr(alone, f.name)[0], getattr(together, f.name)[row]
            assert torch.equal(one, many[:length] if f.name.endswith("BL") else many), (row, f.name)


def test_training_draws_one_of_the_pictures_and_evaluation_takes_the_first() -> None:
    made = listings(IDS, USABLE)
    made.batch(np.arange(4), epoch=2, seed=7)
    made.batch(np.arange(4), epoch=2, seed=7, any_picture=True)
    first, drawn = made.pictures.picked  # type: ignore[attr-defined]
    assert first is None
    assert drawn.tolist() == draw_pictures(7, 2, np.arange(4), 3 * np.array(USABLE)).tolist()


@pytest.mark.parametrize(("text", "image"), [(1, 0), (0, 1)])
def test_modality_dropout_never_takes_the_only_modality(text: float, image: float) -> None:
    batch = listings(IDS, USABLE).batch(np.arange(4), dropout=ModalityDropout(text=text, image=image))
    assert (batch.has_text_B | batch.has_image_B).all()
    assert batch.has_text_B.tolist() == [not text, True, False, not text]
    assert batch.has_image_B.tolist() == [not image, False, True, not image]
    lost_text, lost_image = ~batch.has_text_B, ~batch.has_image_B
    assert (batch.text_real_BL[lost_text].sum(1) == 2).all() and (batch.tokens_BL[lost_text, 1] == SEP).all()
    assert not batch.pixels_BCHW[lost_image].any()


def test_the_picture_is_augmented_only_when_asked() -> None:
    made = listings([[7], [8]], [True, True])
    made.batch(np.arange(2))
    made.batch(np.arange(2), augment=Augment(), epoch=1, seed=3)
    plain, changed = made.pictures.asked  # type: ignore[attr-defined]
    assert plain.crop.tolist() == [[0, 0, 1, 1]] * 2 and plain.keeps_colours.all()
    for asked, drawn in zip(astuple(changed), astuple(draw(Augment(), 3, 1, np.arange(2))), strict=True):
        assert (asked == drawn).all()


def test_pictures_of_another_side_have_fewer_patches() -> None:
    batch = listings(IDS, USABLE).batch(np.arange(4), side=2, masking=Uniform(policy="uniform", image=1))
    assert batch.pixels_BCHW.shape == (4, 3, 2, 2) and batch.image_masked_BP.shape == (4, 1)


def test_batches_ahead_are_bounded_in_bytes() -> None:
    made = replace(listings(IDS, USABLE), prefetch=1000)  # a picture is 3 x 4 x 4 = 48 bytes
    assert [made.steps_ahead(n) for n in (1, 2, 20, 21, 1000)] == [16, 10, 1, 1, 1]
    assert made.steps_ahead(8, side=2) == 10


def test_ahead_keeps_the_order_and_works_ahead() -> None:
    begun: list[int] = []

    def start(step: int) -> Callable[[], int]:
        time.sleep(0.002 * (step % 3))
        begun.append(step)
        return lambda: step * step

    stream = ahead(start, range(3, 20), depth=2)
    assert next(stream) == 9
    deadline = time.monotonic() + 5
    while len(begun) < 3 and time.monotonic() < deadline:  # the next two are begun while the first is used
        time.sleep(0.005)
    assert begun == [3, 4, 5]
    assert list(stream) == [step * step for step in range(4, 20)]
    assert begun == list(range(3, 20))
    assert list(ahead(start, range(0))) == [] and list(ahead(start, range(1))) == [0]


@pytest.mark.parametrize("late", [False, True], ids=["in start", "when called"])
def test_ahead_passes_an_exception_on_at_its_step(late: bool) -> None:
    def fail(step: int) -> int:
        if step == 4:
            raise OSError("disk")
        return step

    stream = ahead(lambda step: (lambda: fail(step)) if late else (lambda made: lambda: made)(fail(step)), range(9))
    assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="disk"):
        next(stream)


def test_ahead_ends_its_thread_when_the_training_stops_early() -> None:
    before = threading.active_count()
    stream = ahead(lambda step: lambda: step, range(1000))
    assert next(stream) == 0
    stream.close()
    assert threading.active_count() == before


def test_ahead_holds_no_batch_that_was_used() -> None:
    """Memory is for `depth` batches and the one in use; an iterator that kept the last would need one more."""
    stream = ahead(lambda step: lambda: np.zeros(step), range(5), depth=1)
    seen = ref(next(stream))
    next(stream)
    assert seen() is None
