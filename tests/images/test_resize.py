"""Resizing against Pillow alone, which decodes wholly and filters once: every shape, kind and degree of shrinking."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from cykooz_resizer import CpuExtensions, Resizer
from PIL import Image

from tests.images.conftest import encoded
from workbench.images import picture, resize
from workbench.images.picture import pillow_set_up, square
from workbench.images.resize import resized
from workbench.recipe.schema import Images

SIDE = 64


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Light of all sizes, as photographs have it, with grain."""
    draw = np.random.default_rng(seed)
    total = draw.normal(0, 3, (height, width, 3))
    for cells, depth in ((4, 60), (16, 30), (64, 15)):
        coarse = Image.fromarray((128 + depth * draw.normal(0, 1, (cells, cells, 3))).clip(0, 255).astype(np.uint8))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float) - 128
    return Image.fromarray((128 + total).clip(0, 255).astype(np.uint8))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8))


def near(one: Image.Image, other: Image.Image) -> float:
    """PSNR in dB."""
    error = ((np.asarray(one, float) - np.asarray(other, float)) ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("size", "to"),
    [((300, 200), (64, 43)), ((1, 300), (1, 64)), ((30, 3000), (30, 64)), ((65, 65), (64, 64)), ((5, 3), (2, 1))],
)
def test_pixels_differ_from_pillow_s_by_rounding(mode: str, size: tuple[int, int], to: tuple[int, int]) -> None:
    image = noise(*size).convert(mode)
    part = (size[0] - 0.5, size[1] - 0.25)
    for box in (size, part):
        wide = resized(image, (to[0], size[1]), (box[0], size[1]))
        found = resized(wide, to, (to[0], box[1]))
        best = image.resize(to, Image.Resampling.BICUBIC, (0, 0, *box))
        assert found.mode == mode and np.abs(np.asarray(found, int) - np.asarray(best, int)).max() <= 2


def test_a_picture_of_the_size_is_returned_itself() -> None:
    image = noise(8, 9)
    assert resized(image, (8, 9)) is image


def test_without_vector_instructions_the_bytes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain() -> Resizer:
        resizer = Resizer()
        resizer.cpu_extensions = CpuExtensions.none
        return resizer

    images = [noise(301, 203).convert(mode) for mode in ("RGB", "L")]
    fast = [resized(image, (64, 43)) for image in images]
    monkeypatch.setattr(resize, "Resizer", plain)
    assert [resized(image, (64, 43)) for image in images] == fast


JPEGS: dict[str, tuple[str, dict[str, Any]]] = {
    "420": ("RGB", {"subsampling": 2}),
    "444": ("RGB", {"subsampling": 0}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "inks": ("CMYK", {}),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_jpeg_decoded_in_part_is_near_the_whole(kind: str) -> None:
    mode, options = JPEGS[kind]
    with pillow_set_up(10**8):
        for width, height in ((70, 41), (127, 128), (161, 99), (320, 333), (641, 380), (1300, 50), (37, 1290)):
            data = encoded(photo(width, height).convert(mode), "JPEG", quality=90, **options)
            assert near(*against_pillow(data)) > 46, (width, height)


def test_even_noise_keeps_40_db() -> None:
    with pillow_set_up(10**8):
        for width in (159, 160, 161, 200, 319, 320, 321, 639, 641, 1281):
            data = encoded(noise(width, width * 3 // 4), "JPEG", quality=90)
            assert near(*against_pillow(data)) > 40, width


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1"])
def test_other_pictures_are_near_pillow_s(kind: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "BAND_PIXELS", 9000)
    image = photo(301, 203)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    options = {"lossless": True} if kind == "WEBP" else {}
    if not (kind == "BMP" and mode == "RGBA"):
        with pillow_set_up(10**8):
            assert near(*against_pillow(encoded(image.convert(mode), kind, **options))) > 55


def against_pillow(data: bytes) -> tuple[Image.Image, Image.Image]:
    """What is stored, and what Pillow alone makes of the bytes."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    clear = image.convert("RGBA") if image.has_transparency_data else None
    whole = Image.new("RGB", image.size, "white")
    whole.paste(clear or image.convert("RGB"), mask=clear)
    width, height = (round(length * SIDE / max(image.size)) for length in image.size)
    best = Image.new("RGB", (SIDE, SIDE), "white")
    best.paste(whole.resize((width, height), Image.Resampling.BICUBIC), ((SIDE - width) // 2, (SIDE - height) // 2))
    return square(data, Images(side=SIDE)).image, best


def test_threads_do_not_meet() -> None:
    data = [encoded(photo(400 + i, 300, i), "JPEG") for i in range(8)]
    with pillow_set_up(10**8), ThreadPoolExecutor(8) as pool:
        alone = [square(one, Images(side=SIDE)) for one in data]
        assert list(pool.map(lambda one: square(one, Images(side=SIDE)), data * 8)) == alone * 8
