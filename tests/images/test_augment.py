"""Augmentations are pure, and what they ask for is what the decoder does."""

import io
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images.conftest import Shop, encoded, plaid
from workbench.images.augment import Augmentation, colour, draw, identity
from workbench.images.decode_cpu import Decoder
from workbench.images.shard import Shards
from workbench.recipe.schema import Augment, Images


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


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    place = tmp_path / "pictures"
    place.mkdir()
    for i in range(9):
        (place / f"{i}.png").write_bytes(encoded(plaid(16, 16, i)))
    return Shards(Shop(tmp_path, place, [*(f"{i}.png" for i in range(9)), None]).run(Images(side=16))[0])


def moved(n: int, **changes: object) -> Augmentation:
    return Augmentation(**{**vars(identity(n)), **changes})


def test_whole_pictures_are_not_resampled_and_missing_ones_are_black(shards: Shards) -> None:
    got = Decoder(shards, 16, threads=2).decode(np.array([3, 9, 0]), identity(3))
    assert got.shape == (3, 3, 16, 16) and got.dtype == np.uint8
    assert (got[0] == np.asarray(plaid(16, 16, 3)).transpose(2, 0, 1)).all()
    assert not got[1].any()


def test_flip_and_crop_by_hand(shards: Shards) -> None:
    source = np.asarray(plaid()).transpose(2, 0, 1)
    decoder = Decoder(shards, 16, threads=1)
    flipped = decoder.decode(np.array([0]), moved(1, flip=np.array([True])))[0]
    assert (flipped == source[:, :, ::-1]).all()
    box = np.array([[0.5, 0.25, 0.75, 0.5]], np.float32)  # 4 x 4 of the 16 x 16 pixels
    cropped = Decoder(shards, 4, threads=1).decode(np.array([0]), moved(1, crop=box))[0]
    assert (cropped == source[:, 4:8, 8:12]).all()


def test_shrinking_is_antialiased_and_threads_do_not_matter(shards: Shards) -> None:
    rows = np.arange(10)
    a = draw(Augment(), 0, 1, rows)
    one, two = (Decoder(shards, 8, threads=t).decode(rows, a) for t in (1, 2))
    assert (one == two).all()
    mean = Decoder(shards, 1, threads=1).decode(np.array([0]), identity(1))[0, :, 0, 0].astype(float)
    assert np.abs(mean - np.asarray(plaid()).mean(axis=(0, 1))).max() < 12


def test_a_decoded_picture_is_the_same_from_memory(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    warm = Decoder(shards, 16)
    first, second = (warm.decode(np.arange(10), identity(10)) for _ in range(2))
    monkeypatch.setattr("workbench.images.decode_cpu.MEMORY", 0)
    assert (first == second).all() and (Decoder(shards, 16).decode(np.arange(10), identity(10)) == first).all()
    with Image.open(io.BytesIO(shards.bytes(4))) as image:
        assert (np.asarray(image).transpose(2, 0, 1) == first[4]).all()


def stepwise(x_CHW: np.ndarray, b: float, c: float, s: float) -> np.ndarray:
    """Torchvision's adjust_brightness, adjust_contrast and adjust_saturation, without clipping in between."""
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    x = x_CHW * b
    x = c * x + (1 - c) * (x * weights).sum(0).mean()
    return s * x + (1 - s) * (x * weights).sum(0)


def test_colours_equal_the_three_steps() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 5)).astype(np.uint8)
    b, c, s = (np.array(f, np.float32) for f in ([1, 0.8, 1.3, 0.7], [1, 1.2, 0.5, 1.5], [1, 0, 1.6, 0.9]))
    got = colour(pixels, moved(4, brightness=b, contrast=c, saturation=s))
    want = [np.clip(np.rint(stepwise(p.astype(float), *f)), 0, 255) for p, *f in zip(pixels, b, c, s, strict=True)]
    assert (got[0] == pixels[0]).all() and np.abs(got - np.stack(want)).max() <= 1
    assert (got[1] == got[1, :1]).all()  # saturation 0: grey


def test_black_stays_black() -> None:
    half = np.full(1, 0.5, np.float32)
    assert not colour(np.zeros((1, 3, 4, 4), np.uint8), moved(1, brightness=half, contrast=half)).any()
