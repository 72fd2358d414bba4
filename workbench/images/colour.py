"""Any mode of Pillow -> RGB or grey, transparent pixels laid on the background."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms


def plain(image: Image.Image, background: str) -> Image.Image:
    """The picture in RGB or, if it has no colours, L, whose shrinking takes a third; one that is either is returned
    itself. Pixel by pixel, so that bands may come alone (but of mode F, whose range counts)."""
    if image.mode.startswith("I"):  # 16 bits a pixel, in one of Pillow's orders
        depth = np.asarray(image.convert("I"))
        return Image.fromarray((depth.clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        light = np.nan_to_num(np.asarray(image)) * (1 if image.getextrema()[1] > 1 else 255)  # type: ignore[operator]
        return Image.fromarray(light.clip(0, 255).astype(np.uint8))
    if image.mode in ("CMYK", "LAB"):
        return _by_profile(image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        if rgba.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
            under = Image.new("RGB", rgba.size, background)
            under.paste(rgba, mask=rgba)
            return under
        image = rgba
    if image.mode in ("RGB", "L"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _by_profile(image: Image.Image) -> Image.Image:
    """CMYK by its embedded profile if there is a sound one; LAB by what it is.

    A JPEG's CMYK is stored inverted, with Adobe's marker (0: CMYK, 2: YCCK) and without; Pillow has undone that.
    """
    if transform := _transform(image.mode, image.info.get("icc_profile") if image.mode == "CMYK" else None):
        try:
            if (converted := ImageCms.applyTransform(image, transform)) is not None:
                return converted
        except (ImageCms.PyCMSError, ValueError):
            pass
    return image.convert("RGB")


@lru_cache(maxsize=8)  # a shop's pictures share few profiles, and one takes longer to read than to apply
def _transform(mode: str, profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    try:
        if mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
