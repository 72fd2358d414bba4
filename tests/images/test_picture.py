"""Every mode and format to RGB, every damage to its reason."""

import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.images.conftest import encoded, plaid
from workbench.images.picture import Broken, pillow_set_up, square
from workbench.recipe.schema import Images

MOST = 100_000_000


def made(data: bytes, side: int = 16, background: str = "#ffffff") -> np.ndarray:
    with pillow_set_up(MOST):
        image = square(data, Images(side=side, background=background)).image
    assert image.mode == "RGB" and image.width == image.height <= side
    return np.asarray(image).astype(int)


def why(data: bytes, max_pixels: int = 100_000_000) -> str:
    with pillow_set_up(max_pixels), pytest.raises(Broken) as broken:
        square(data, Images(side=16, max_pixels=max_pixels))
    return str(broken.value)


def half(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (16, 16), left)
    image.paste(right, (8, 0, 16, 16))
    return image


def test_a_picture_of_the_right_size_is_untouched() -> None:
    assert (made(encoded(plaid())) == np.asarray(plaid())).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "JPEG"])
def test_every_format(kind: str) -> None:
    got = made(encoded(Image.new("RGB", (16, 16), (200, 40, 90)), kind))
    assert np.abs(got - (200, 40, 90)).max() <= 6


def test_transparency_is_laid_on_the_background() -> None:
    rgba = half("RGBA", (200, 0, 0, 255), (0, 200, 0, 0))
    grey = half("LA", (100, 255), (0, 0))
    palette = half("P", 1, 0)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    cases = [
        (encoded(rgba), (200, 0, 0)),
        (encoded(rgba, "WEBP", lossless=True), (200, 0, 0)),
        (encoded(grey), (100, 100, 100)),
        (encoded(palette, transparency=0), (200, 0, 0)),
        (encoded(palette, "GIF", transparency=0), (200, 0, 0)),
        (encoded(half("RGB", (200, 0, 0), (1, 2, 3)), transparency=(1, 2, 3)), (200, 0, 0)),
        (encoded(half("L", 90, 7), transparency=7), (90, 90, 90)),
    ]
    for data, left in cases:
        got = made(data, background="#102030")
        assert (got[:, :8] == left).all() and (got[:, 8:] == (0x10, 0x20, 0x30)).all()


def test_half_transparent_is_mixed() -> None:
    got = made(encoded(Image.new("RGBA", (16, 16), (0, 0, 0, 128))))
    assert (got == 127).all()


def test_grey_one_bit_and_sixteen_bits() -> None:
    assert (made(encoded(Image.new("L", (16, 16), 77))) == 77).all()
    assert (made(encoded(half("1", 0, 1)))[0, [0, 15], 0] == [0, 255]).all()
    deep = Image.fromarray(np.full((16, 16), 0x4DFF, np.uint16))
    assert (made(encoded(deep)) == 0x4D).all()
    assert (made(encoded(deep, "TIFF")) == 0x4D).all()


def test_cmyk_jpeg_with_and_without_a_profile() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(made(encoded(red, "JPEG", quality=100)) - (255, 0, 0)).max() <= 3
    wrong = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # of RGB: no use for CMYK
    assert np.abs(made(encoded(red, "JPEG", quality=100, icc_profile=wrong)) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_6_turns_the_picture_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    top = Image.new("RGB", (16, 16), (0, 0, 0))
    top.paste((255, 255, 255), (0, 0, 16, 8))
    got = made(encoded(top, kind, exif=exif))
    assert got[:, 12:].min() > 200 and got[:, :4].max() < 55


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    for kind in ("GIF", "WEBP", "PNG"):
        got = made(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert np.abs(got - (250, 0, 0)).max() <= 6, kind


def test_narrow_pictures_are_padded_on_both_sides() -> None:
    tall = made(encoded(Image.new("RGB", (30, 3000), (9, 9, 9))), side=64)
    assert (tall[:, 31] == 9).all() and (np.delete(tall, 31, axis=1) == 255).all()
    line = made(encoded(Image.new("RGB", (1, 8), (9, 9, 9))))
    assert (line[:, 3] == 9).all() and (np.delete(line, 3, axis=1) == 255).all()


def test_small_pictures_keep_their_size_and_large_jpegs_are_shrunk() -> None:
    assert (made(encoded(plaid(4, 4))) == np.asarray(plaid(4, 4))).all()
    large = half("RGB", (250, 0, 0), (0, 0, 250)).resize((1600, 1600), Image.Resampling.NEAREST)
    got = made(encoded(large, "JPEG", quality=95))
    assert np.abs(got[:, :6] - (250, 0, 0)).max() <= 6 and np.abs(got[:, 10:] - (0, 0, 250)).max() <= 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_files_are_truncated(kind: str, share: float) -> None:
    data = encoded(plaid(200, 200), kind)
    assert why(data[: int(len(data) * share)]) == f"truncated {kind}: its end is missing"


def test_what_is_no_picture() -> None:
    assert why(b"") == "zero bytes"
    assert why(b"\n<!DOCTYPE html><html><body>404</body></html>") == "a web page, not a picture"
    assert why(b"<?xml version='1.0'?>\n<html xmlns='x'>") == "a web page, not a picture"
    assert why("nothing to see, façade".encode()) == "a text file, not a picture"
    assert why(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "an SVG drawing, not a picture of pixels"
    assert why(b"%PDF-1.7") == "a PDF file, not a picture"
    assert why(b"\x00\x01\x02\xff" * 20) == "not a picture of a known kind"
    assert why(encoded(Image.new("RGB", (1, 1)))) == "a single pixel, which shows nothing"


def test_damaged_data() -> None:
    data = bytearray(encoded(plaid(100, 100)))
    data[300:320] = bytes(20)
    assert why(bytes(data)).startswith("damaged PNG: ")
    assert why(b"\xff\xd8\xff\xe0" + bytes(50) + b"\xff\xd9") == "damaged JPEG: its header can't be read"
    assert why(b"BMW roof rack, see the manual") == "a text file, not a picture"


def test_too_many_pixels_are_refused_from_the_header() -> None:
    header = bytearray(encoded(Image.new("RGB", (8, 8))))
    header[16:24] = (14000).to_bytes(4, "big") + (12000).to_bytes(4, "big")
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    reason = "168 megapixels, more than images.max_pixels allows (100 megapixels)"
    assert why(bytes(header)) == reason
    assert why(encoded(plaid(20, 20)), max_pixels=399).startswith("0.0004 megapixels, more than images.max_pixels")
