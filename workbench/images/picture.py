"""The bytes of one picture -> a square of RGB, or the reason why not. Every picture is decoded wholly."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

KINDS = (  # format of Pillow, how its files begin
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("JPEG", b"\xff\xd8\xff"),
    ("GIF", b"GIF8"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("JPEG2000", b"\0\0\0\x0cjP  \r\n"),
    ("JPEG2000", b"\xff\x4f\xff\x51"),
    ("ICO", b"\0\0\1\0"),
)
ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "JPEG2000": b"\xff\xd9", "GIF": b";"}
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112  # EXIF

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it tells of a picture is in the reason


class Broken(Exception):
    """Bytes that give no picture; the message is the reason."""


@dataclass(frozen=True)
class Square:
    image: Image.Image  # RGB, side x side
    width: int  # of the source, in pixels, as stored
    height: int


@contextmanager
def own_pixel_limit() -> Iterator[None]:
    """Pillow's limit is a global that warns: off while `square` applies `max_pixels` to each picture's header."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF and palettes: what matters is a reason in the index
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def square(data: bytes, side: int, background: str, max_pixels: int) -> Square:
    """Decode, turn upright, lay on the background, fit into a square. Raises Broken with the reason."""
    kind = _kind(data)
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            width, height = image.size
            _check_size(width, height, max_pixels)
            image.draft(None, (2 * side, 2 * side))  # a large JPEG is decoded at a half, a quarter or an eighth
            image.load()
            rgb = _upright(_rgb(image, background), image)
    except Broken:
        raise
    except MemoryError:
        raise Broken("too large for this machine's memory") from None
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, IndexError and others
        if _is_cut(kind, data, error):
            raise Broken(f"truncated {kind}: its end is missing") from None
        if isinstance(error, UnidentifiedImageError):
            raise Broken(f"damaged {kind}: its header can't be read") from None
        raise Broken(f"damaged {kind}: {(str(error) or type(error).__name__).splitlines()[0]}") from None
    return Square(_fit(rgb, side, background), width, height)


def _kind(data: bytes) -> str:
    """Pillow's name of the format, by the first bytes and never by the file's name."""
    if not data:
        raise Broken("zero bytes")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    if data[:2] == b"BM" and data[6:10] == bytes(4):  # "BM" alone may begin a text
        return "BMP"
    for kind, magic in KINDS:
        if data.startswith(magic):
            return kind
    raise Broken(_what_else(data))


def _what_else(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:11] in (b"hei", b"hev", b"mif"):
        return "a HEIC picture, which can't be read; save it as JPEG or PNG"
    if data.startswith(b"%PDF"):
        return "a PDF file, not a picture"
    head = data[:4096]
    text = head.decode("utf-8", "replace").rstrip("\ufffd")  # a letter may be cut at the end
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in start:
        return "a web page, not a picture"
    if start.startswith("<svg") or "<svg" in start:
        return "an SVG drawing, not a picture of pixels"
    if "\ufffd" not in text and all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text):
        return "a text file, not a picture"
    return "not a picture of a known kind"


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        megapixels, most = f"{width * height / 1e6:,.6g} megapixels", f"{max_pixels / 1e6:,.6g} megapixels"
        raise Broken(f"{megapixels}, more than images.max_pixels allows ({most})")
    if width * height <= 1:
        raise Broken("a single pixel, which shows nothing")


def _is_cut(kind: str, data: bytes, error: Exception) -> bool:
    if kind == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if kind in ENDS and not data.rstrip(b"\0\r\n").endswith(ENDS[kind]):
        return True
    return isinstance(error, EOFError) or "truncated" in str(error).lower() or "not enough" in str(error).lower()


def _rgb(image: Image.Image, background: str) -> Image.Image:
    """Any mode -> RGB, transparent pixels laid on the background."""
    if image.mode.startswith("I"):  # 16 bits a pixel, in one of Pillow's orders
        depth = np.asarray(image.convert("I"))
        return Image.fromarray((depth.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "CMYK":
        return _cmyk(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba).convert("RGB")
    return image.convert("RGB")


def _cmyk(image: Image.Image) -> Image.Image:
    """By the embedded colour profile if there is a sound one; Pillow has undone Adobe's inversion already."""
    if profile := image.info.get("icc_profile"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def _upright(rgb: Image.Image, image: Image.Image) -> Image.Image:
    try:
        turn = TRANSPOSE.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged EXIF block tells nothing of the picture
        turn = None
    return rgb if turn is None else rgb.transpose(turn)


def _fit(rgb: Image.Image, side: int, background: str) -> Image.Image:
    if rgb.size == (side, side):
        return rgb
    scale = side / max(rgb.size)
    width, height = (max(1, round(length * scale)) for length in rgb.size)
    small = rgb.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    square = Image.new("RGB", (side, side), background)
    square.paste(small, ((side - width) // 2, (side - height) // 2))
    return square
