"""The perceptual hash against `imagehash`; the thumbnail against means computed by hand."""

import imagehash
import numpy as np
import pytest
from PIL import Image

from tests.images.conftest import encoded, plaid
from workbench.images.phash import look
from workbench.images.picture import pillow_set_up, square
from workbench.recipe.schema import Images


def scene(seed: int, width: int, height: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (7, 9, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def reference(image: Image.Image) -> int:
    return int(str(imagehash.phash(image)), 16)


def test_small_pictures_hash_as_imagehash_does() -> None:
    for seed in range(40):
        image = scene(seed, 60 + seed % 9, 70 - seed % 7)
        assert look(image).phash == reference(image)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_stored_pictures_hash_as_imagehash_does_within_two_bits(kind: str) -> None:
    fast = {"compress_level": 1} if kind == "PNG" else {}
    with pillow_set_up(10**8):
        for seed in range(4):
            data = encoded(image := scene(seed, 900 + 31 * seed, 700), kind, **fast)
            found = square(data, Images()).look.phash
            assert (found ^ reference(image)).bit_count() <= 2


def test_of_a_flat_picture_no_bit_but_the_mean_is_set() -> None:
    assert look(Image.new("RGB", (50, 40), (7, 99, 200))).phash == 1 << 63


def test_the_thumbnail_is_the_mean_of_each_area() -> None:
    image = scene(3, 96, 64).convert("L")
    means = np.asarray(image).reshape(32, 2, 32, 3).mean(axis=(1, 3))
    thumb = np.frombuffer(look(image).thumb, np.uint8).reshape(32, 32)
    assert np.abs(thumb - means)[1:-1, 1:-1].max() <= 3


def test_a_thumbnail_does_not_depend_on_the_picture_s_size() -> None:
    image = Image.new("RGB", (160, 160), "white")
    image.paste("navy", (33, 47, 101, 122))
    thumbs = [np.frombuffer(look(image.resize((n, n), Image.Resampling.BICUBIC)).thumb, np.uint8) for n in (80, 213)]
    for thumb in thumbs:
        assert np.abs(thumb.astype(int) - np.frombuffer(look(image).thumb, np.uint8)).max() <= 12


def test_the_colours_are_the_mean_of_each_area() -> None:
    image = scene(3, 64, 96)
    means = np.asarray(image).reshape(8, 12, 8, 8, 3).mean(axis=(1, 3))
    colours = np.frombuffer(look(image).colours, np.uint8).reshape(8, 8, 3)
    assert np.abs(colours - means).max() <= 3
    assert look(Image.new("L", (50, 40), 77)).colours == bytes([77] * 192)


def test_a_thumbnail_is_of_the_picture_without_its_padding() -> None:
    with pillow_set_up(10**8):
        wide = square(encoded(Image.new("RGB", (400, 100), (50, 50, 50))), Images(side=64)).look.thumb
        assert set(wide) == {50}
        assert set(square(encoded(plaid()), Images()).look.thumb) != {50}
