"""Augmentations are pure functions, and their colours are the three steps that users know."""

from dataclasses import astuple

import numpy as np
import pytest

from workbench.images.augment import GREY, Augmentation, boxes, colour_maps, draw, identity
from workbench.recipe.schema import Augment


def test_a_row_alone_equals_the_row_in_a_batch() -> None:
    rows = np.array([5, 0, 4_000_000_000, 17])
    together = astuple(draw(Augment(), 3, 9, rows))
    for i, row in enumerate(rows):
        for one, many in zip(astuple(draw(Augment(), 3, 9, np.array([row]))), together, strict=True):
            assert (one[0] == many[i]).all()


def test_seed_epoch_and_row_each_matter() -> None:
    base = draw(Augment(), 0, 1, np.array([2])).crop
    for seed, epoch, row in ((1, 1, 2), (0, 2, 2), (0, 1, 3), (0, 2, 1), (-1, 1, 2)):
        assert (draw(Augment(), seed, epoch, np.array([row])).crop != base).any()


def test_what_is_drawn_has_the_strengths_of_the_recipe() -> None:
    augment = Augment(crop_area=(0.3, 0.5), crop_ratio=1.5, flip=0.25, brightness=0.2, contrast=0, saturation=1)
    a = draw(augment, 0, 0, np.arange(10_000))
    width, height = a.crop[:, 2] - a.crop[:, 0], a.crop[:, 3] - a.crop[:, 1]
    assert a.crop.min() >= 0 and a.crop.max() <= 1 + 1e-6
    area, ratio = width * height, width / height
    assert area.min() == pytest.approx(0.3, abs=1e-3) and area.max() == pytest.approx(0.5, abs=1e-3)
    assert area.mean() == pytest.approx(0.4, abs=0.005)
    assert ratio.max() == pytest.approx(1.5, abs=1e-3) and ratio.min() == pytest.approx(1 / 1.5, abs=1e-3)
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.01)
    assert a.flip.mean() == pytest.approx(0.25, abs=0.02)
    assert (a.contrast == 1).all() and np.abs(a.brightness - 1).max() <= 0.2 and a.saturation.min() >= 0
    assert np.corrcoef(np.stack([a.crop[:, 0] / (1 - width), a.crop[:, 1] / (1 - height), a.brightness, area]))[
        np.triu_indices(4, 1)
    ] == pytest.approx(0, abs=0.04)


def moved(n: int, **changes: object) -> Augmentation:
    return Augmentation(**{**vars(identity(n)), **changes})


def stepwise(x_CHW: np.ndarray, b: float, c: float, s: float) -> np.ndarray:
    """Torchvision's adjust_brightness, adjust_contrast and adjust_saturation, without clipping in between."""
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    x = x_CHW * b
    x = c * x + (1 - c) * (x * weights).sum(0).mean()
    return s * x + (1 - s) * (x * weights).sum(0)


def coloured(x_CHW: np.ndarray, augmentation: Augmentation, i: int) -> np.ndarray:
    maps, pulls = colour_maps(augmentation)
    grey = float(GREY @ x_CHW.mean(axis=(1, 2)))
    return np.einsum("oc,chw->ohw", maps[i, :, :3], x_CHW) + maps[i, :, 3:, None] + pulls[i] * grey


def test_colours_equal_the_three_steps() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 5)).astype(float)
    b, c, s = (np.array(f, np.float32) for f in ([1, 0.8, 1.3, 0.7], [1, 1.2, 0.5, 1.5], [1, 0, 1.6, 0.9]))
    a = moved(4, brightness=b, contrast=c, saturation=s)
    assert a.keeps_colours.tolist() == [True, False, False, False]
    for i in range(4):
        assert np.abs(coloured(pixels[i], a, i) - stepwise(pixels[i], b[i], c[i], s[i])).max() < 1e-4
    assert np.ptp(coloured(pixels[1], a, 1), axis=0).max() < 1e-4  # saturation 0: grey


def test_black_stays_black() -> None:
    half = np.full(1, 0.5, np.float32)
    assert not coloured(np.zeros((3, 4, 4)), moved(1, brightness=half, contrast=half), 0).any()


def test_boxes_are_whole_pixels_of_each_square_and_never_empty() -> None:
    crop = np.array([[0.5, 0.25, 0.75, 0.5], [0.1, 0, 1, 0.26], [0.999, 0.999, 1, 1], [0, 0, 0.001, 0.001]], np.float32)
    got = boxes(crop, np.array([16, 10, 4, 4], np.uint16))
    assert got.tolist() == [[8, 4, 12, 8], [1, 0, 10, 3], [3, 3, 4, 4], [0, 0, 1, 1]]
