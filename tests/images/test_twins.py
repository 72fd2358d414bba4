"""DALI and the CPU give the same pixels: the same rows in the same order, cropped, resized, flipped and coloured alike.

DALI runs on the CPU here, which has another JPEG decoder than a GPU; test_decode_dali.py holds the GPU to this one.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.images.conftest import Shop, encoded
from workbench.images.augment import Augmentation, draw, identity
from workbench.images.decode_cpu import CpuDecoder
from workbench.images.decode_dali import DaliDecoder, Tuning
from workbench.images.shard import Shards
from workbench.recipe.schema import Augment, Images

SIDE = 96
Twins = tuple[DaliDecoder, CpuDecoder]


def scene(width: int, height: int) -> Image.Image:
    """A soft background as of a photograph, before it things with edges as of a drawing."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(9 * x + 4 * y), np.cos(7 * y - 3 * x), np.sin(5 * (x + y) ** 2)]
    image = Image.fromarray((128 + 90 * np.stack(waves, axis=-1)).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((width * 0.2, height * 0.3, width * 0.7, height * 0.9), fill=(230, 40, 60), outline=(0, 0, 0))
    pen.line((0, height, width, 0), fill=(250, 250, 210), width=max(1, width // 40))
    pen.text((width * 0.3, height * 0.1), "42", fill=(20, 30, 200))
    return image


def sources() -> dict[str, bytes]:
    photo = scene(180, 150)
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "rgb.png": encoded(photo),
        "clear.png": encoded(clear),
        "palette.png": encoded(photo.quantize(64)),
        "deep.png": encoded(deep),
        "grey.png": encoded(photo.convert("L")),
        "rgb.jpg": encoded(photo, "JPEG", quality=90),
        "grey.jpg": encoded(photo.convert("L"), "JPEG"),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "progressive.jpg": encoded(photo, "JPEG", progressive=True),
        "turned.jpg": encoded(photo, "JPEG", exif=turned),
        "a.webp": encoded(photo, "WEBP"),
        "a.gif": encoded(photo, "GIF"),
        "a.bmp": encoded(photo, "BMP"),
        "a.tiff": encoded(photo, "TIFF", compression="tiff_lzw"),
        "thin.png": encoded(scene(1, 150)),
        "tall.png": encoded(scene(30, 3000)),
        "wide.jpg": encoded(scene(3000, 30), "JPEG"),
        "small.png": encoded(scene(41, 30)),
        "tiny.png": encoded(scene(2, 1)),
        "broken.jpg": b"no picture",
    }


@pytest.fixture(scope="module", params=["jpeg", "png", "raw"])
def shards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """The pictures through the Images stage; between them a listing without one, at the end one with three."""
    root: Path = tmp_path_factory.mktemp(request.param)
    place = root / "pictures"
    place.mkdir()
    for name, data in sources().items():
        (place / name).write_bytes(data)
    names: list[Any] = [*sources(), ["rgb.png", "small.png", "broken.jpg", "a.gif"]]
    names.insert(3, None)
    out, summary = Shop(root, place, names).run(Images(side=SIDE, encoding=request.param, use="all", shard_pictures=5))
    assert summary["present"] == len(sources())  # all but the broken one, and the last
    return Shards(out)


@pytest.fixture
def twins(shards: Shards) -> Iterator[Twins]:
    dali, cpu = DaliDecoder(shards, SIDE, None, 2, Tuning(largest=16)), CpuDecoder(shards, SIDE, 2)
    yield dali, cpu
    dali.close()
    cpu.close()


def both(twins: Twins, rows: NDArray[Any], augmentation: Augmentation, **how: Any) -> Any:
    """Each one's pixels (B, 3, side, side) as int."""
    one, two = (np.from_dlpack(twin.start(rows, augmentation, **how)()).astype(int) for twin in twins)
    assert one.shape == two.shape and len(one) == len(rows)
    return one, two


def decibels(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.float64]:
    """(B,) peak signal to noise of each picture; 99 where they are the same."""
    error = ((one - two) ** 2).mean(axis=(1, 2, 3))
    return np.where(error > 0, 10 * np.log10(255**2 / np.maximum(error, 1e-6)), 99)


def part(augmentation: Augmentation, of: Any) -> Augmentation:
    return Augmentation(**{f.name: getattr(augmentation, f.name)[of] for f in fields(Augmentation)})


def test_of_its_own_size_a_picture_is_the_same_to_the_bit(twins: Twins, shards: Shards) -> None:
    rows = np.arange(len(shards))
    one, two = both(twins, rows, identity(len(rows)))
    whole = shards.sides(rows) == SIDE
    assert whole.sum() == 18 and (one[whole] == two[whole]).all()
    assert (shards.sides(rows) < SIDE).sum() == 4 and np.abs(one - two).max() <= 1  # these grow, or are missing


def test_whole_pixels_are_cropped_and_turned(twins: Twins, shards: Shards) -> None:
    rows, n = np.flatnonzero(shards.sides(np.arange(len(shards))) == SIDE), 18
    crop = np.array([12, 30, 12 + 48, 30 + 48], np.float32) / SIDE
    augmentation = replace(identity(n), crop=np.tile(crop, (n, 1)), flip=np.arange(n) % 2 == 0)
    one, two = both(twins, rows, augmentation, side=48)
    whole, _ = both(twins, rows, identity(n))
    wanted = whole[:, :, 30:78, 12:60]
    wanted[::2] = wanted[::2, :, :, ::-1]
    assert (one == wanted).all() and (two == wanted).all()


def test_colours(twins: Twins, shards: Shards) -> None:
    rows = np.arange(len(shards))
    strong = Augment(crop_area=(1, 1), crop_ratio=1, brightness=0.4, contrast=0.4, saturation=0.9)
    one, two = both(twins, rows, draw(strong, 3, 1, rows))
    assert np.abs(one - two).max() <= 2 and decibels(one, two).min() > 52


@pytest.mark.parametrize(
    ("side", "least", "mean"),
    [(130, 57, 0.15), (84, 39, 1.2), (72, 39, 1.2), (64, 39, 1.2), (48, 37, 1.9), (32, 37, 1.6), (9, 36, 3)],
)
def test_resized(twins: Twins, shards: Shards, side: int, least: float, mean: float) -> None:
    """Growing, both are linear. Shrinking, OpenCV averages areas and DALI has a triangle or a gaussian of that size."""
    rows = np.arange(len(shards))
    one, two = both(twins, rows, identity(len(rows)), side=side)
    assert decibels(one, two).min() > least and np.abs(one - two).mean(axis=(1, 2, 3)).max() < mean


@pytest.mark.parametrize(("side", "least", "median"), [(SIDE, 53, 56), (72, 37, 44), (40, 40, 44)])
def test_augmented_as_in_training(twins: Twins, shards: Shards, side: int, least: float, median: float) -> None:
    rows = np.arange(len(shards))
    one, two = both(twins, rows, draw(Augment(), 3, 1, rows), side=side)
    assert decibels(one, two).min() > least and np.median(decibels(one, two)) > median


def test_missing_pictures_are_zeros(twins: Twins, shards: Shards) -> None:
    rows = np.arange(len(shards))
    missing = np.flatnonzero(~shards.usable)
    assert missing.tolist() == [3, 20]
    for pixels in both(twins, rows, draw(Augment(brightness=0.9, contrast=0.9), 3, 1, rows)):
        assert not pixels[missing].any() and pixels[shards.usable].any(axis=(1, 2, 3)).all()
    one, two = both(twins, missing, identity(2), picks=np.array([0, 5]))
    assert not one.any() and not two.any()


def test_which_of_several_pictures(twins: Twins, shards: Shards) -> None:
    last = len(shards) - 1
    assert shards.counts[last] == 3
    one, two = both(twins, np.full(4, last), identity(4), picks=np.array([2, 0, 1, 0]))
    names = [name for name, _ in sources().items()]
    names.insert(3, "none")
    alone, _ = both(
        twins, np.array([names.index(n) for n in ("a.gif", "rgb.png", "small.png", "rgb.png")]), identity(4)
    )
    assert (one == alone).all() and np.abs(one - two).max() <= 1


def test_batches_of_any_size_under_way_at_once(twins: Twins, shards: Shards) -> None:
    """More than DALI takes at once, one of them larger than its graph; called for backwards, some never."""
    dali, cpu = twins
    rows = np.random.default_rng(0).integers(0, len(shards), 130)
    augmentation = draw(Augment(), 1, 2, rows)
    cuts = [slice(a, b) for a, b in pairwise((0, 1, 17, 18, 50, 66, 130))]
    begun = [(of, dali.start(rows[of], part(augmentation, of))) for of in cuts]
    del begun[1]
    for of, finish in reversed(begun):
        pixels = np.from_dlpack(finish())
        assert (pixels == np.from_dlpack(dali.start(rows[of], part(augmentation, of))())).all()
        theirs = np.asarray(cpu.start(rows[of], part(augmentation, of))()).astype(int)
        assert decibels(pixels.astype(int), theirs).min() > 52


def test_no_rows(twins: Twins) -> None:
    one, two = both(twins, np.zeros(0, np.int64), identity(0), side=8)
    assert one.shape == two.shape == (0, 3, 8, 8)
