"""What a file is, by its bytes: every format to pixels, everything else to a reason; bombs from their headers."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.images.conftest import encoded, plaid
from workbench.images import kinds
from workbench.images.picture import Broken, pillow_set_up, square
from workbench.recipe.schema import Images

SIDE = 16
WRITTEN = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "ICO", "PPM", "PCX", "TGA", "SGI", "DDS", "AVIF"]


@pytest.fixture(autouse=True)
def _set_up() -> Iterator[None]:
    with pillow_set_up(2 * 10**6):
        yield


def pixels(data: bytes, **images: Any) -> np.ndarray:
    return np.asarray(square(data, Images(**{"side": SIDE, "max_pixels": 2 * 10**6, **images})).image).astype(int)


def why(data: bytes, **images: Any) -> str:
    with pytest.raises(Broken) as broken:
        pixels(data, **images)
    return str(broken.value)


@pytest.mark.parametrize("kind", [*WRITTEN, "ICNS", "QOI", "MPO"])
def test_every_format_is_told_by_its_bytes(kind: str) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    got = pixels(encoded(Image.new("RGB", (16, 16), (200, 40, 90)), kind, **options))
    assert np.abs(got - (200, 40, 90)).max() <= 6


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_plain_and_raw_portable_pictures(mode: str) -> None:
    assert (pixels(encoded(Image.new(mode, (3, 3), "white"), "PPM")) == 255).all()
    assert pixels(b"P3\n2 1\n255\n255 0 0  0 0 255\n")[0].tolist() == [[255, 0, 0], [0, 0, 255]]


def test_heic_is_read_or_its_reader_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    data = encoded(Image.new("RGB", (64, 64), (200, 40, 90)), "HEIF", quality=95)
    assert np.abs(pixels(data) - (200, 40, 90)).max() <= 6
    assert why(data[: len(data) * 2 // 3]) == "truncated HEIF: its end is missing"
    monkeypatch.setattr(kinds, "_heic_is_read", lambda: False)
    assert why(data) == "a HEIC picture: pip install mlim[heic]"


def test_avif_cut_is_not_avif_damaged() -> None:
    data = encoded(plaid(200, 200), "AVIF")
    for share in (0.1, 0.3, 0.6, 0.9):
        assert why(data[: int(len(data) * share)]) == "truncated AVIF: its end is missing"
    place = data.index(b"mdat") + 4
    assert why(data[:place] + bytes(len(data) - place)).startswith("damaged AVIF: ")
    assert why(data[:16] + bytes(len(data) - 16)).startswith("damaged AVIF: ")


def test_an_avif_without_its_reader_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds.features, "check", lambda name: False)
    assert why(encoded(plaid(), "AVIF")) == "an AVIF picture: pip install 'pillow>=11.3'"


@pytest.mark.parametrize("kind", ["TGA", "PCX", "SGI", "PPM", "QOI", "DDS", "ICO"])
def test_rare_formats_that_are_cut_tell_so(kind: str) -> None:
    data = encoded(plaid(200, 200), kind)
    assert kind in why(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (bytes(300), "nothing but zero bytes"),
        (b'{"error": "not found"}', "JSON, not a picture"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML, not a picture"),
        (b"<!-- ok --><!DOCTYPE html><html></html>", "a web page, not a picture"),
        ("<html>".encode("utf-16"), "a web page, not a picture"),
        (b"<html>" + b"caf\xe9" * 9, "a web page, not a picture"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>", "an SVG drawing, not a picture of pixels"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF file, not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a text file, not a picture"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video, not a picture"),
        (b"\x1aE\xdf\xa3" + bytes(40), "a video, not a picture"),
        (b"RIFF\x24\0\0\0AVI LIST" + bytes(9), "a video, not a picture"),
        (b"PK\3\4" + bytes(40), "an archive, not a picture"),
        (b"P1 is our best rack", "a text file, not a picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a text file, not a picture"),
    ],
)
def test_what_it_is_instead(data: bytes, reason: str) -> None:
    assert why(data) == reason


def jpeg_of_inks(stored: tuple[int, int, int, int], transform: int | None) -> bytes:
    """A JPEG of four components that holds these very values, with Adobe's marker of this transform or without."""
    inverted = bytes(255 - value for value in stored)  # Pillow inverts as it saves
    data = encoded(Image.frombytes("CMYK", (16, 16), inverted * 256), "JPEG", quality=100)
    place = data.index(b"Adobe") - 4
    length = 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    marker = data[place : place + length - 1] + bytes([transform or 0])
    return data[:place] + (b"" if transform is None else marker) + data[place + length :]


@pytest.mark.parametrize(
    ("stored", "transform", "colour"),
    [
        # C, M, Y, K as photo tools store them, inverted: 255 is no ink. Red is magenta and yellow.
        ((255, 0, 0, 255), None, (255, 0, 0)),
        ((255, 0, 0, 255), 0, (255, 0, 0)),
        ((255, 255, 255, 100), 0, (100, 100, 100)),
        # YCCK: Y, Cb, Cr (ITU-R BT.601) of the inks as if they were R, G, B, so red as of cyan; K as above
        ((179, 171, 1, 255), 2, (255, 0, 0)),
        ((0, 128, 128, 100), 2, (100, 100, 100)),
    ],
)
def test_cmyk_and_ycck(stored: tuple[int, int, int, int], transform: int | None, colour: tuple[int, ...]) -> None:
    assert np.abs(pixels(jpeg_of_inks(stored, transform)) - colour).max() <= 3


def test_sixteen_bits_and_floats_are_scaled() -> None:
    ramp = (np.arange(256, dtype=np.uint32) * 257).reshape(16, 16)
    expected = np.arange(256).reshape(16, 16)
    for data in (
        encoded(Image.fromarray(ramp.astype(np.uint16))),
        encoded(Image.fromarray(ramp.astype(np.uint16)), "TIFF"),
        encoded(Image.fromarray(ramp.astype(np.uint16)), "PPM"),
        encoded(Image.fromarray((ramp / 65535).astype(np.float32)), "TIFF"),
    ):
        assert np.abs(pixels(data)[:, :, 0] - expected).max() <= 1


def test_the_first_frame_that_shows_something() -> None:
    blank, shown = Image.new("RGB", (16, 16), "white"), plaid()
    for kind in ("GIF", "PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        got = pixels(encoded(blank, kind, save_all=True, append_images=[shown, blank], **options))
        assert len(np.unique(got.reshape(-1, 3), axis=0)) > 50, kind
    found = square(encoded(blank, "GIF", save_all=True, append_images=[blank]), Images())
    assert found.flat and not square(encoded(shown), Images()).flat


def giant(width: int = 20_000, height: int = 20_000) -> bytes:
    """A PNG that claims to be so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(9999))
    chunks = [header, b"IDAT" + data, b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


def bombs() -> dict[str, bytes]:
    gif = bytearray(encoded(plaid(), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    frame = bytearray(encoded(plaid(), "GIF"))
    place = frame.index(b",\0\0\0\0") + 5
    frame[place : place + 4] = struct.pack("<HH", 60_000, 60_000)
    tiff = bytearray(encoded(plaid(), "TIFF"))
    for tag in (256, 257):
        place = (
            tiff.index(struct.pack("<HH", tag, 4))
            if struct.pack("<HH", tag, 4) in tiff
            else tiff.index(struct.pack("<HH", tag, 3))
        )
        tiff[place : place + 12] = struct.pack("<HHII", tag, 4, 1, 60_000)
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2
    inner = giant()
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    icns = b"icns" + struct.pack(">I", 16 + len(inner)) + b"ic07" + struct.pack(">I", 8 + len(inner)) + inner
    bmp = bytearray(encoded(plaid(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    return {
        "PNG": giant(),
        "GIF": bytes(gif),
        "frame": bytes(frame),
        "TIFF": bytes(tiff),
        "WEBP": b"RIFF" + struct.pack("<I", len(webp)) + webp,
        "ICO": icon,
        "ICNS": icns,
        "BMP": bytes(bmp),
        "PPM": b"P6 60000 60000 255\n" + bytes(99),
    }


@pytest.mark.parametrize("kind", list(bombs()))
def test_bombs_are_refused_from_their_header(kind: str) -> None:
    data = bombs()[kind]
    for too_large in ("refuse", "reduce") if kind not in ("PNG", "WEBP") else ("refuse",):
        reason = why(data, too_large=too_large)
        assert "images.max_pixels allows (2 megapixels)" in reason or kind == "ICNS", reason
    if kind == "PNG":
        assert why(data) == "400 megapixels, more than images.max_pixels allows (2 megapixels)"
        assert why(data, too_large="reduce") == "truncated PNG: its end is missing"


def test_what_is_too_large_is_reduced_if_it_can_be() -> None:
    large = plaid(60, 40).resize((1500, 1000), Image.Resampling.BICUBIC)
    png, most = encoded(large), 10**6
    assert (pixels(png, too_large="reduce", max_pixels=most) == pixels(png)).all()
    jpeg = encoded(large, "JPEG", quality=95)
    assert why(jpeg, max_pixels=most).startswith("1.5 megapixels, more than")
    assert np.abs(pixels(jpeg, too_large="reduce", max_pixels=most) - pixels(png)).mean() < 4
    reason = why(encoded(large, "BMP"), too_large="reduce", max_pixels=most)
    assert reason.endswith("(1 megapixels); this kind of BMP can't be reduced while it is read")


def test_libtiff_writes_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(plaid(100, 100), "TIFF", compression="tiff_lzw")
    why(data[:300] + bytes(50) + data[350:-400])
    assert capfd.readouterr().err == ""


def test_the_name_says_nothing() -> None:
    out = io.BytesIO()
    plaid().save(out, "GIF")
    assert kinds.kind_of(out.getvalue()) == "GIF"
