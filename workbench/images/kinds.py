"""What a file is, by its first bytes and never by its name; and whether its end is missing."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import cache

from PIL import Image, features

MAGIC = (  # Pillow's name of the format, how its files begin
    ("JPEG", b"\xff\xd8\xff"),
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("GIF", b"GIF8"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("JPEG2000", b"\0\0\0\x0cjP  \r\n"),
    ("JPEG2000", b"\xff\x4f\xff\x51"),
    ("ICO", b"\0\0\1\0"),
)
ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "JPEG2000": b"\xff\xd9", "GIF": b";"}
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
DRAWN_IN_TEXT = re.compile(rb"P[1-6]\s+(#|\d+\s+\d)|/\* XPM \*/|#define ")
UNREAD = {"EPS", "WMF", "GRIB", "BUFR", "HDF5", "MPEG"}  # Pillow hands them to other programs, or only knows the name


class NoPicture(Exception):
    """Bytes of which no picture can be made; the message says what they are instead."""


def kind_of(data: bytes) -> str:
    """Pillow's name of a format that can be read here. Raises NoPicture for anything else."""
    if not data:
        raise NoPicture("zero bytes")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and data[6:10] == bytes(4):  # "BM" alone may begin a text
        return "BMP"
    for kind, magic in MAGIC:
        if data.startswith(magic):
            return kind
    if data[4:8] == b"ftyp" and (inside := _container(data)):
        return inside
    if what := _text(data):
        raise NoPicture(what)
    if rare := _rare(data):
        return rare
    raise NoPicture(_what_else(data))


def _container(data: bytes) -> str | None:
    """AVIF and HEIC share a container, whose brand tells them apart; "mif1" stands for either, and lists its own."""
    brands = data[8 : int.from_bytes(data[:4], "big")][:256]
    if b"avif" in brands or b"avis" in brands:
        if not features.check("avif"):
            raise NoPicture("an AVIF picture: pip install 'pillow>=11.3'")
        return "AVIF"
    if data[8:12] in HEIC:
        if not _heic_is_read():
            raise NoPicture("a HEIC picture: pip install mlim[heic]")
        return "HEIF"
    return None


@cache
def _heic_is_read() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _rare(data: bytes) -> str | None:
    """The formats of which a shop has few, as Pillow tells them; a TGA has no magic but a header of narrow ranges."""
    Image.init()
    for kind in Image.ID:
        accept = Image.OPEN[kind][1]
        if kind not in UNREAD and accept and accept(data[:16]) is True:
            if kind == "CUR" and data[4:6] == b"\0\0":  # no cursor in it: most TGA begin so
                continue
            return kind
    colours, form, depth, flags = data[1:2], data[2:3], data[16:17], data[17:18]
    if colours in (b"\0", b"\1") and form in b"\1\2\3\x09\x0a\x0b" and depth in b"\x08\x10\x18\x20":
        return "TGA" if len(data) > 18 and form and flags[0] & 0xC0 == 0 else None
    return None


def _text(data: bytes) -> str | None:
    """What a file of text is; None for one of bytes, and for a text that is a picture (PPM, XPM, XBM)."""
    head = data[:4096]
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    text = text.removesuffix("\ufffd")  # a letter may be cut at the end
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in start:
        return "a web page, not a picture"
    if "<svg" in start:
        return "an SVG drawing, not a picture of pixels"
    if start.startswith("%pdf"):
        return "a PDF file, not a picture"
    if "\ufffd" in text or not all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text):
        return None
    if DRAWN_IN_TEXT.match(head):
        return None
    if start.startswith(("{", "[")):
        return "JSON, not a picture"
    return "XML, not a picture" if start.startswith("<") else "a text file, not a picture"


def _what_else(data: bytes) -> str:
    if data.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "a PostScript drawing, not a picture of pixels"
    if data[4:8] in (b"ftyp", b"moov", b"mdat") or data.startswith((b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3")):
        return "a video, not a picture"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "a video, not a picture"
    if data.startswith((b"PK\3\4", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")):
        return "an archive, not a picture"
    if not data.strip(b"\0"):
        return "nothing but zero bytes"
    return "not a picture of a known kind"


def is_cut(kind: str, data: bytes, error: Exception) -> bool:
    """Whether a picture that failed to decode lacks its end, rather than being damaged within."""
    if kind == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if kind in ("AVIF", "HEIF"):
        return any(end > len(data) for end in _box_ends(data))
    if kind in ENDS and not data.rstrip(b"\0\r\n").endswith(ENDS[kind]):
        return True
    told = str(error).lower()
    return isinstance(error, (EOFError, struct.error)) or any(w in told for w in ("truncated", "not enough", "eof"))


def _box_ends(data: bytes) -> Iterator[int]:
    """Where each outer box of an ISO container says that it ends."""
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        place = len(data) if size == 0 else place + max(size, 8)
        yield place
