"""How the pictures of a recipe are stored, and the disk that they take, as far as it can be told beforehand."""

from __future__ import annotations

from workbench.artifacts.store import Artifact
from workbench.recipe.schema import Images

AUTO_PNG = 96  # pixels: up to this side a lossless picture is small enough
PIXEL = {"raw": (3.0, 3.0), "jpeg": (0.2, 0.75), "png": (0.2, 2.5)}  # bytes: of a plain drawing, of a busy photograph


def encoding_of(images: Images) -> str:
    """jpeg, png or raw."""
    return images.encoding if images.encoding != "auto" else "png" if images.side <= AUTO_PNG else "jpeg"


def disk(images: Images, pictures: int) -> str:
    """A line for people; smaller pictures than `images.side` take less."""
    encoding = encoding_of(images)
    least, most = (_size(pictures * images.side**2 * each) for each in PIXEL[encoding])
    told = f"at most {most}" if least == most else f"about {least} to {most}"
    return f"disk: {told} for {pictures:,} pictures of {images.side} px, stored as {encoding}"


def pictures_named(ingest: Artifact, images: Images) -> int:
    """How many pictures the listings name, of those that are stored: the main ones or all."""
    import polars as pl

    pictures = pl.scan_parquet(ingest.path("pictures.parquet"))
    wanted = pictures if images.use == "all" else pictures.filter(pl.col("order") == 0)
    return int(wanted.select(pl.len()).collect().item())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"
