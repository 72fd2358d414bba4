"""Masks: shares as in PAPER.md, never on special tokens or padding, pure in (seed, epoch, row)."""

import math

import numpy as np
import pytest

from workbench.batches.masking import HEAVY_IMAGE, HEAVY_TEXT, LIGHT, Masks, draw_masks, draw_modality_dropout
from workbench.recipe.schema import Mam, Masking, ModalityDropout, NoMasking, Uniform

ROWS = np.arange(10_000)
MAM, UNIFORM, NONE = Mam(), Uniform(policy="uniform", text=0.3, image=0.6), NoMasking(policy="none")
PATCHES = 16


def maskable(lengths: np.ndarray, width: int = 16) -> np.ndarray:
    """[CLS] marker words [SEP] padding: only the words may be masked."""
    at = np.arange(width)
    return (at >= 2) & (at < 2 + lengths[:, None])


def draw(masking: Masking, rows: np.ndarray = ROWS, seed: int = 0, epoch: int = 1, image: bool = True) -> Masks:
    lengths = rows % 12 + 1
    return draw_masks(masking, seed, epoch, rows, maskable(lengths), PATCHES, np.full(len(rows), image))


def near(share: float, n: int) -> object:
    """Within four standard deviations of a share of `n` independent draws."""
    return pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))


@pytest.fixture(scope="module")
def mam() -> Masks:
    return draw(MAM)


def test_the_three_modes_of_mam_are_equally_likely(mam: Masks) -> None:
    assert np.bincount(mam.mode_B) / len(ROWS) == near(1 / 3, len(ROWS))


def test_shares_of_mam_are_those_of_the_paper(mam: Masks) -> None:
    words_B = ROWS % 12 + 1
    masked_words_B, masked_patches_B = mam.text_BL.sum(1), mam.image_BP.sum(1)
    for mode, text, image in ((HEAVY_IMAGE, 0, 0.8), (HEAVY_TEXT, 0.8, 0), (LIGHT, 0.15, 0.15)):
        of_B = mam.mode_B == mode
        # One token more or less is the only chance left, so the mean of a listing's share is sharper than a coin's.
        assert masked_words_B[of_B].sum() / words_B[of_B].sum() == near(text, words_B[of_B].sum())
        assert masked_patches_B[of_B].mean() / PATCHES == near(image, of_B.sum() * PATCHES)
        for masked_B, count, share in ((masked_words_B, words_B, text), (masked_patches_B, PATCHES, image)):
            assert (np.abs(masked_B - share * count)[of_B] < 1).all()


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_short_texts_are_masked_at_their_share_on_average(length: int) -> None:
    masks = draw_masks(MAM, 5, 1, ROWS, maskable(np.full(len(ROWS), length)), PATCHES, np.ones(len(ROWS), bool))
    for mode, share in ((HEAVY_TEXT, 0.8), (LIGHT, 0.15)):
        masked = masks.text_BL[masks.mode_B == mode]
        assert masked.sum() / length / len(masked) == near(share, len(masked))
        places = masked[:, 2 : 2 + length].mean(0)
        assert places == near(share, len(masked))  # no place is favoured


def test_every_patch_is_as_likely(mam: Masks) -> None:
    heavy = mam.image_BP[mam.mode_B == HEAVY_IMAGE]
    assert heavy.mean(0) == near(0.8, len(heavy))


def test_mode_probabilities_and_shares_come_from_the_recipe() -> None:
    masks = draw(Mam(modes=(0.5, 0.2, 0.3), heavy_image=0.5, heavy_text=1, light_text=0, light_image=0))
    assert (masks.mode_B == HEAVY_IMAGE).mean() == near(0.5, len(ROWS))
    assert (masks.mode_B == HEAVY_TEXT).mean() == near(0.2, len(ROWS))
    assert (masks.image_BP[masks.mode_B == HEAVY_IMAGE].sum(1) == PATCHES / 2).all()
    assert np.array_equal(
        masks.text_BL[masks.mode_B == HEAVY_TEXT], maskable(ROWS % 12 + 1)[masks.mode_B == HEAVY_TEXT]
    )
    assert not masks.text_BL[masks.mode_B == LIGHT].any() and not masks.image_BP[masks.mode_B == LIGHT].any()


def test_uniform_masks_both_at_their_shares_and_none_nothing() -> None:
    masks, words = draw(UNIFORM), (ROWS % 12 + 1).sum()
    assert masks.text_BL.sum() / words == near(0.3, words)
    assert masks.image_BP.mean() == near(0.6, masks.image_BP.size)
    assert np.corrcoef(masks.text_BL[:, 2], masks.image_BP[:, 0])[0, 1] == pytest.approx(0, abs=0.04)
    assert not draw(NONE).text_BL.any() and not draw(NONE).image_BP.any()


@pytest.mark.parametrize("masking", [MAM, UNIFORM, Uniform(policy="uniform", text=1, image=1)])
def test_special_tokens_and_padding_are_never_masked(masking: Masking) -> None:
    assert not (draw(masking).text_BL & ~maskable(ROWS % 12 + 1)).any()


@pytest.mark.parametrize("masking", [MAM, UNIFORM])
def test_masks_are_pure_in_seed_epoch_and_row(masking: Masking) -> None:
    rows = np.array([5, 900, 17, 3_999_999_999])
    lengths = np.array([7, 3, 12, 1])
    image = np.array([True, False, True, True])
    together = draw_masks(masking, 3, 2, rows, maskable(lengths), PATCHES, image)
    shuffled = draw_masks(masking, 3, 2, rows[::-1], maskable(lengths[::-1], 30), PATCHES, image[::-1])  # more padding
    for i in range(4):
        one = draw_masks(masking, 3, 2, rows[i : i + 1], maskable(lengths[i : i + 1]), PATCHES, image[i : i + 1])
        for masks, at in ((one, 0), (shuffled, 3 - i)):
            assert np.array_equal(masks.text_BL[at, :16], together.text_BL[i])
            assert np.array_equal(masks.image_BP[at], together.image_BP[i])
            assert masks.mode_B[at] == together.mode_B[i]


def test_seed_and_epoch_and_row_each_matter() -> None:
    base = draw(MAM, ROWS[:300])
    others = [draw(MAM, ROWS[:300], seed=1), draw(MAM, ROWS[:300], epoch=2)]
    others += [draw(MAM, ROWS[:300] + further) for further in (300, 2**16, 2**31)]
    for other in others:
        assert np.mean(base.mode_B == other.mode_B) == near(1 / 3, 300)


# Epoch 0 of validation: a change here makes the losses of two versions incomparable.
GOLDEN_MODES = [2, 0, 2, 2, 1, 0]
GOLDEN_TEXT = [[], [], [], [5], [2, 3, 4, 5], []]
GOLDEN_IMAGE = [
    "....#...#.#.....",
    ".#######..###.##",
    "....#.........#.",
    "........##......",
    "................",
    "######.###..####",
]


def test_the_masks_of_validation_stay_what_they_are() -> None:
    masks = draw(MAM, np.arange(6), epoch=0)
    assert masks.mode_B.tolist() == GOLDEN_MODES
    assert [np.flatnonzero(text_L).tolist() for text_L in masks.text_BL] == GOLDEN_TEXT
    assert ["".join("#" if m else "." for m in image_P) for image_P in masks.image_BP] == GOLDEN_IMAGE


def test_a_listing_with_one_modality_is_always_masked_lightly() -> None:
    no_image = draw(MAM, image=False)
    assert (no_image.mode_B == LIGHT).all() and not no_image.image_BP.any()
    words = (ROWS % 12 + 1).sum()
    assert no_image.text_BL.sum() / words == near(0.15, words)
    no_text = draw_masks(MAM, 0, 1, ROWS, np.zeros((len(ROWS), 3), bool), PATCHES, np.ones(len(ROWS), bool))
    assert (no_text.mode_B == LIGHT).all() and not no_text.text_BL.any()
    assert no_text.image_BP.mean() == near(0.15, no_text.image_BP.size)


@pytest.mark.parametrize(("text", "image"), [(1 / 3, 1 / 3), (0.15, 0.4), (0, 0), (1, 0), (0, 1), (0.5, 0.5)])
def test_modality_dropout_has_its_shares_and_never_takes_both(text: float, image: float) -> None:
    dropout = ModalityDropout(text=text, image=image)
    keep_text_B, keep_image_B = draw_modality_dropout(dropout, 0, 1, ROWS)
    assert (keep_text_B | keep_image_B).all()
    assert (~keep_text_B).mean() == near(text, len(ROWS))
    assert (~keep_image_B).mean() == near(image, len(ROWS))
    alone = draw_modality_dropout(dropout, 0, 1, ROWS[77:78])
    assert (alone[0][0], alone[1][0]) == (keep_text_B[77], keep_image_B[77])


def test_modality_dropout_is_independent_of_masks_and_epochs(mam: Masks) -> None:
    half = ModalityDropout(text=0.5, image=0.5)
    first, second = draw_modality_dropout(half, 0, 1, ROWS)[0], draw_modality_dropout(half, 0, 2, ROWS)[0]
    assert np.mean(first == second) == near(0.5, len(ROWS))
    assert first[mam.mode_B == LIGHT].mean() == near(0.5, (mam.mode_B == LIGHT).sum())
