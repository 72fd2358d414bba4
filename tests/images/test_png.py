"""PNG band by band against Pillow alone: every colour type, depth and row filter; every damage."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.images.conftest import encoded, plaid
from workbench.images import png
from workbench.images.colour import plain
from workbench.images.picture import Broken, pillow_set_up, square
from workbench.recipe.schema import Images

LAYOUTS = (
    [(d, 0) for d in (1, 2, 4, 8, 16)] + [(d, 3) for d in (1, 2, 4, 8)] + [(d, c) for c in (2, 4, 6) for d in (8, 16)]
)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PALETTE = bytes(range(256)) * 3


@pytest.fixture(autouse=True)
def _set_up() -> Iterator[None]:
    with pillow_set_up(10**8):
        yield


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def written(
    rows: bytes,
    size: tuple[int, int],
    depth: int,
    colour: int,
    interlace: int = 0,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG of these filtered rows, its pixels in chunks of 100 bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace))
    palette = chunk(b"PLTE", PALETTE[: 3 * 2**depth]) if colour == 3 else b""
    stream = zlib.compress(rows)
    pixels = b"".join(chunk(b"IDAT", stream[i : i + 100]) for i in range(0, len(stream), 100))
    return png.SIGNATURE + header + palette + before + pixels + after + chunk(b"IEND")


def random_rows(size: tuple[int, int], depth: int, colour: int, seed: int = 0) -> bytes:
    """Rows of any filter and any bytes: all are valid."""
    draw = np.random.default_rng(seed)
    rows = draw.integers(0, 256, (size[1], 1 + -(-size[0] * depth * CHANNELS[colour] // 8)), np.uint8)
    rows[:, 0] = draw.integers(0, 5, size[1])
    return rows.tobytes()


def by_bands(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        bands = png.bands(image, data)  # type: ignore[arg-type]
        assert bands is not None
        parts = list(bands)
    return np.concatenate([np.asarray(plain(part, "#102030").convert("RGB")) for part in parts])


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(plain(image, "#102030").convert("RGB"))


@pytest.mark.parametrize(("depth", "colour"), LAYOUTS)
def test_every_layout_and_filter(depth: int, colour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "BAND", 500)
    for size in ((37, 29), (1, 7), (8, 1)):
        data = written(random_rows(size, depth, colour), size, depth, colour)
        assert (by_bands(data) == by_pillow(data)).all()


@pytest.mark.parametrize(
    ("depth", "colour", "clear"), [(8, 3, b"\0\x80\xff\x10"), (8, 2, b"\0\7\0\7\0\7"), (4, 0, b"\0\3")]
)
def test_transparent_colours(depth: int, colour: int, clear: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "BAND", 100)
    rows = np.frombuffer(random_rows((40, 30), depth, colour), np.uint8).reshape(30, -1).copy()
    rows[:, 0], rows[:, 1:] = 0, rows[:, 1:] % 8
    rows[5:9, 1:] = 7
    data = written(rows.tobytes(), (40, 30), depth, colour, before=chunk(b"tRNS", clear))
    assert (by_bands(data) == by_pillow(data)).all()


def test_an_orientation_behind_the_pixels_turns_them() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    size = (20, 10)
    tag = chunk(b"eXIf", exif.tobytes()[6:])
    data = written(random_rows(size, 8, 2), size, 8, 2, after=tag)
    turned = np.asarray(square(data, Images(side=20)).image)
    assert (turned[:, 5:15] == np.rot90(by_pillow(data), -1)).all()


def test_interlaced_and_animated_ones_are_left_to_pillow() -> None:
    interlaced = written(b"\0\x11\x22\x33" + b"\0\x44\x55\x66", (2, 1), 8, 2, interlace=1)  # passes 1 and 6
    with Image.open(io.BytesIO(interlaced)) as image:
        assert png.bands(image, interlaced) is None  # type: ignore[arg-type]
    found = np.asarray(square(interlaced, Images()).image)
    assert found[0].tolist() == [[0x11, 0x22, 0x33], [0x44, 0x55, 0x66]]
    animated = encoded(plaid(), save_all=True, append_images=[plaid(seed=3)])
    with Image.open(io.BytesIO(animated)) as image:
        assert png.bands(image, animated) is None  # type: ignore[arg-type]


def test_damages() -> None:
    good = written(random_rows((40, 40), 8, 2), (40, 40), 8, 2)
    place = good.index(b"IDAT") + 30
    flipped = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    rows = random_rows((40, 40), 8, 2)
    stream = zlib.compress(rows)
    wrong_sum = stream[:-1] + bytes([stream[-1] ^ 1])
    header = good[: 8 + 25]
    cases = {
        flipped: "damaged PNG: broken data stream when reading image file",
        header + chunk(b"IDAT", wrong_sum) + chunk(b"IEND"): "damaged PNG: broken data stream when reading image file",
        good[: len(good) // 2]: "truncated PNG: its end is missing",
        good[:60]: "truncated PNG: its end is missing",
        header + chunk(b"IDAT", zlib.compress(rows[:900])) + chunk(b"IEND"): "truncated PNG: its end is missing",
    }
    for data, reason in cases.items():
        with pytest.raises(Broken) as broken:
            square(data, Images())
        assert str(broken.value) == reason


def test_what_takes_no_pixel_away_is_no_damage() -> None:
    rows = random_rows((40, 40), 8, 2)
    stream, header = zlib.compress(rows), written(rows, (40, 40), 8, 2)[: 8 + 25]
    pixels = by_pillow(written(rows, (40, 40), 8, 2))
    for data in (
        header + chunk(b"IDAT", stream),  # no end
        header + chunk(b"IDAT", stream[:-2]) + chunk(b"IEND"),  # half the checksum
        header + chunk(b"IDAT", stream + b"more") + chunk(b"IEND"),
        header + chunk(b"IDAT", zlib.compress(rows + bytes(1000))) + chunk(b"IEND"),  # more rows
        written(rows, (40, 40), 8, 2) + b"behind the end",
    ):
        assert (np.asarray(square(data, Images()).image) == pixels).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "1"])
def test_shrunk_band_by_band_as_pillow_shrinks_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "BAND", 9000)
    size = (411, 303)
    draw = np.random.default_rng(7)
    image = Image.fromarray(draw.integers(0, 256, (15, 20, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(size))
    image = image.quantize(90) if mode == "P" else image.convert(mode)
    best = np.asarray(plain(image, "#102030").convert("RGB").resize((64, 47), Image.Resampling.BICUBIC), int)
    found = square(encoded(image), Images(side=64, background="#102030")).image.crop((0, 8, 64, 55))
    assert np.abs(np.asarray(found, int) - best).max() <= 2


def test_memory_does_not_grow_with_the_picture() -> None:
    """A megapixel and six, of which Pillow would hold 24 MB: bands of one and the same size."""
    for size in ((1000, 1000), (3000, 2000)):
        data = encoded(Image.new("RGB", size, (9, 99, 199)))
        with Image.open(io.BytesIO(data)) as image:
            bands = png.bands(image, data)  # type: ignore[arg-type]
            assert bands is not None and max(band.width * band.height * 3 for band in bands) <= png.BAND
