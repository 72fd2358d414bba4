"""What is said of the disk before it is used."""

import random
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw

from tests.images.conftest import Shop, encoded, plaid
from workbench.images.disk import PIXEL, disk, encoding_of, pictures_named
from workbench.recipe.schema import Images


@pytest.mark.parametrize(
    ("images", "pictures", "line"),
    [
        (Images(side=64, encoding="raw"), 1000, "at most 12.3 MB for 1,000 pictures of 64 px, stored as raw"),
        (Images(side=256, encoding="raw"), 2_000_000, "at most 393 GB for 2,000,000 pictures of 256 px, stored as raw"),
        (
            Images(side=512, encoding="raw"),
            2_000_000,
            "at most 1.57 TB for 2,000,000 pictures of 512 px, stored as raw",
        ),
        (Images(side=8, encoding="raw"), 1, "at most 192 B for 1 pictures of 8 px, stored as raw"),
        (Images(side=256), 1000, "about 13.1 MB to 49.2 MB for 1,000 pictures of 256 px, stored as jpeg"),
        (Images(side=96), 1000, "about 1.84 MB to 23 MB for 1,000 pictures of 96 px, stored as png"),
    ],
)
def test_the_line(images: Images, pictures: int, line: str) -> None:
    assert disk(images, pictures) == f"disk: {line}"


def test_the_run_tells_it_and_raw_takes_what_was_told(shop: Callable[..., Shop]) -> None:
    ours = shop({f"{i}.png": encoded(plaid(20, 20, i)) for i in range(5)}, ["0.png", ("1.png", "2.png"), None, "3.png"])
    for use, told in (("main", "2.3 kB for 3"), ("all", "3.07 kB for 4")):
        _, summary = ours.run(Images(side=16, encoding="raw", use=use), use)
        assert f"disk: at most {told} pictures of 16 px, stored as raw" in ours.console.export_text()
        assert summary["bytes"] == 16 * 16 * 3 * pictures_named(ours.ingest, Images(use=use))


@pytest.mark.parametrize(("side", "encoding"), [(256, "jpeg"), (96, "png")])
def test_a_drawing_and_noise_take_less_and_more_than_photos_do(side: int, encoding: str) -> None:
    drawing = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(drawing).ellipse((side / 4, side / 4, side / 2, side / 2), "red")
    noise = Image.frombytes("RGB", (side, side), random.Random(0).randbytes(3 * side * side))
    assert encoding_of(Images(side=side)) == encoding
    options = {"quality": 95, "subsampling": 0} if encoding == "jpeg" else {}
    small, large = (len(encoded(image, encoding, **options)) / side**2 for image in (drawing, noise))
    assert small < PIXEL[encoding][0] < PIXEL[encoding][1] < large < PIXEL["raw"][1] * 1.01
