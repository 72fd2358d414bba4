"""Bicubic resizing that averages where it shrinks, as `Image.resize` has it, ten times as fast.

By cykooz-resizer (the crate fast_image_resize), the one library found that has Pillow's filter in vector instructions;
they calculate in whole numbers, so that every machine gives the same bytes. It works in Pillow's own memory, whose
layout it has to know: hence the limit of Pillow's version in pyproject.toml. A test holds it against Pillow.
"""

from __future__ import annotations

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

BICUBIC = ResizeAlg.convolution(FilterType.catmull_rom)


def resized(image: Image.Image, size: tuple[int, int], part: tuple[float, float] | None = None) -> Image.Image:
    """An RGB or L picture in this size, or itself: of its upper left `part` (width, height), by default the whole.

    Of both axes at once the library takes the height first, Pillow the width: two calls are nearer to it than one.
    Other threads go on meanwhile.
    """
    part = part or image.size
    if size == image.size == part:
        return image
    made = Image.new(image.mode, size, None)
    Resizer().resize_pil(image, made, ResizeOptions(BICUBIC, crop_box=CropBox(0, 0, *part)))
    return made
