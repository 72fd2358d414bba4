"""The bytes of one picture -> a square of RGB, or the reason why not. Every picture is decoded wholly."""

from __future__ import annotations

import ctypes
import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageFile, PngImagePlugin, _imaging

from workbench.images import png
from workbench.images.colour import plain
from workbench.images.kinds import NoPicture, is_cut, kind_of
from workbench.images.phash import SIDE, Look, look
from workbench.images.resize import resized
from workbench.images.room import Room

if TYPE_CHECKING:
    from workbench.recipe.schema import Images

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
GAP = 2.5  # times the final size: no smaller is a JPEG decoded; from there on even noise keeps 40 dB, photos have 48
BYTES = 12  # of memory for each pixel of a picture that is decoded whole, at most, with its decoder's own copies
MEMORY = Room(768 << 20)  # bytes, of all threads
BAND_PIXELS = 1 << 18
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
FRAMES = 10  # of an animation are looked at, for the first that shows something


class Broken(Exception):
    """Bytes that give no picture; the message is the reason."""


@dataclass(frozen=True)
class Square:
    image: Image.Image  # RGB, as wide as high: of the recipe's side, or of the picture's longer one if that is less
    width: int  # of the source, in pixels, as stored
    height: int
    look: Look
    flat: bool  # of a single colour


@contextmanager
def pillow_set_up(max_pixels: int) -> Iterator[None]:
    """Pillow's settings while `square` is used: they are of the process, so a stage sets them once.

    Its own limit of pixels catches pictures within pictures (of an icon, a frame, a tile); `square` compares the size
    in each header itself. Nothing is written to stderr: what matters of a picture is in its reason.
    """
    Image.init()
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(AttributeError, OSError):  # libtiff writes there by itself
        libraries = ctypes.CDLL(_imaging.__file__)
        libraries.TIFFSetWarningHandler(None)
        libraries.TIFFSetErrorHandler(None)
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF and palettes
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def square(data: bytes, images: Images) -> Square:
    """Decode, fit into a square, turn upright, lay on the background. Raises Broken with the reason."""
    kind = ""
    try:
        kind = kind_of(data)
        with _opened(kind, data) as image:
            return _square(image, data, images)
    except (NoPicture, Broken) as error:
        raise Broken(str(error)) from None
    except MemoryError:
        raise Broken("too large for this machine's memory") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # of a picture within
        raise Broken(_too_large(int(re.findall(r"\d+", str(error))[0]), images)) from None
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, IndexError and others
        if is_cut(kind, data, error):
            raise Broken(f"truncated {kind}: its end is missing") from None
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise Broken(f"damaged {kind}: {told}") from None


def opened(data: bytes) -> ImageFile.ImageFile:
    """The header read; raises what `square` tells the reason of."""
    return _opened(kind_of(data), data)


def _opened(kind: str, data: bytes) -> ImageFile.ImageFile:
    """The header read. `Image.open` would compare the size with Pillow's limit before the recipe says what to do."""
    factory, _ = Image.OPEN[kind]
    try:
        return factory(io.BytesIO(data), "")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception as error:
        if is_cut(kind, data, error):
            raise
        raise Broken(f"damaged {kind}: its header can't be read") from None


def _square(image: ImageFile.ImageFile, data: bytes, images: Images) -> Square:
    stored, pixels = image.size, image.width * image.height
    if pixels <= 1:
        raise Broken("a single pixel, which shows nothing")
    large = pixels > images.max_pixels
    if large and images.too_large == "refuse":
        raise Broken(_too_large(pixels, images))
    shape = _Shape.of(stored, stored, images.side)
    if drafted := image.draft(None, shape.least):  # a JPEG is decoded at a half, a quarter or an eighth
        shape = _Shape.of(stored, drafted[1][2:], images.side)
    if isinstance(image, PngImagePlugin.PngImageFile) and (bands := png.bands(image, data)):
        with MEMORY.taking(BYTES * shape.seen[0] * image.height):
            return _fit(image, bands, shape, stored, images)
    needed = BYTES * image.width * image.height + (6 * pixels if image.info.get("progressive") else 0)
    if large and (image.width * image.height > images.max_pixels or needed > MEMORY.size):
        raise Broken(f"{_too_large(pixels, images)}; this kind of {image.format} can't be reduced while it is read")
    with MEMORY.taking(needed):
        return _first_that_shows(image, shape if drafted else None, stored, images)


def _too_large(pixels: int, images: Images) -> str:
    most = f"{images.max_pixels / 1e6:,.6g} megapixels"
    return f"{pixels / 1e6:,.6g} megapixels, more than images.max_pixels allows ({most})"


def _first_that_shows(
    image: ImageFile.ImageFile, drafted: _Shape | None, stored: tuple[int, int], images: Images
) -> Square:
    """The first frame that isn't of a single colour, or the first."""
    frames = min(FRAMES, getattr(image, "n_frames", 1)) if image.format in ANIMATED else 1
    first = None
    for frame in range(frames):
        image.seek(frame)
        image.load()  # which may turn it
        shape = drafted or _Shape.of(image.size, image.size, images.side)
        made = _fit(image, _bands(image), shape, stored, images)
        if not made.flat:
            return made
        first = first or made
    assert first is not None
    return first


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    """A decoded picture; one that isn't RGB yet cut into bands, of which RGB takes less memory than of the whole."""
    rows = max(1, BAND_PIXELS // image.width)
    if image.height <= rows or image.mode in ("RGB", "L", "F"):
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


@dataclass(frozen=True)
class _Shape:
    """How a picture gets into its square."""

    part: tuple[float, float]  # of what is decoded; not whole, as the picture's size over 2, 4 or 8 isn't
    inner: tuple[int, int]  # pixels, of which one axis fills the square
    seen: tuple[int, int]  # the same, or more where that is too narrow to be looked at

    @classmethod
    def of(cls, size: tuple[int, int], part: tuple[float, float], side: int) -> _Shape:
        scale = min(1.0, side / max(size))
        inner = tuple(max(1, round(length * scale)) for length in size)
        seen = tuple(max(wanted, min(length, SIDE)) for length, wanted in zip(size, inner, strict=True))
        return cls(part, (inner[0], inner[1]), (seen[0], seen[1]))

    @property
    def least(self) -> tuple[int, int]:
        """The size that has to be decoded at least."""
        return math.ceil(GAP * self.seen[0]), math.ceil(GAP * self.seen[1])


def _fit(
    image: ImageFile.ImageFile, bands: Iterator[Image.Image], shape: _Shape, stored: tuple[int, int], images: Images
) -> Square:
    narrow = _narrowed((plain(band, images.background) for band in bands), shape, image.height)
    turn = _turn(image)  # told by then, wherever in the file it is
    seen = resized(narrow, shape.seen, (narrow.width, shape.part[1]))
    fitted = turn(resized(seen, shape.inner))
    side, found = max(fitted.size), look(fitted if shape.seen == shape.inner else turn(seen))
    square = Image.new("RGB", (side, side), images.background)
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return Square(square, *stored, found, flat=fitted.getcolors(1) is not None)


def _narrowed(bands: Iterator[Image.Image], shape: _Shape, height: int) -> Image.Image:
    """The bands one below the other, brought to their width each."""
    whole, top = None, 0
    for band in bands:
        narrow = resized(band, (shape.seen[0], band.height), (shape.part[0], band.height))
        if band.height == height:
            return narrow
        if whole is None:
            whole = Image.new(narrow.mode, (narrow.width, height), None)  # nothing is drawn on it yet
        whole.paste(narrow, (0, top))
        top += band.height
    assert whole is not None
    return whole


def _turn(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Upright, as the camera was held."""
    try:
        turn = TRANSPOSE.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged EXIF block tells nothing of the picture
        turn = None
    return lambda picture: picture if turn is None else picture.transpose(turn)
