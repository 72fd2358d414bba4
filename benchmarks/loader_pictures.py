"""The two picture sets that benchmarks/loader.py reads: drawings and photographs of half a megapixel, as JPEG.

Drawings are flat shapes with soft shading, about 0.6 bit a pixel, as shops' cut-outs and logos are. Photographs are
warped crops of scikit-learn's two sample photos, mixed by soft masks, with a sensor's grain: about 2 bits a pixel. A
number always gives the same pixels.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw, ImageOps
from sklearn.datasets import load_sample_images

WIDTH, HEIGHT, QUALITY = 816, 612, 90
SIDE = 256  # pixels: of the stored pictures


def make_originals(folder: Path, kind: str, count: int) -> None:
    """The files 00000.jpg … in `folder`, those that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_save, [folder] * count, [kind] * count, range(count), chunksize=16))


def _save(folder: Path, kind: str, i: int) -> None:
    path = folder / f"{i:05}.jpg"
    if not path.exists():
        image = (_drawing if kind == "drawings" else _photograph)(np.random.default_rng(i))
        aside = path.with_suffix(".tmp")
        image.save(aside, "JPEG", quality=QUALITY)
        aside.replace(path)


def _drawing(draw: np.random.Generator) -> Image.Image:
    image = _soft(draw, 3, 180)
    pencil = ImageDraw.Draw(image)
    for x, y, width, height, *colour in draw.random((30, 7)):
        left, top = x * WIDTH - 40, y * HEIGHT - 40
        shape = pencil.ellipse if width > height else pencil.rectangle
        shape((left, top, left + 20 + 160 * width, top + 20 + 160 * height), tuple(int(255 * c) for c in colour))
    return image


def _photograph(draw: np.random.Generator) -> Image.Image:
    one, other = (_warped(draw, photo) for photo in draw.permutation(2))
    image = np.asarray(Image.composite(one, other, _soft(draw, 1, 255)), np.float32)
    light = draw.uniform(0.8, 1.2, 3).astype(np.float32)
    grain = draw.standard_normal((HEIGHT, WIDTH, 1), np.float32) * np.float32(1)
    return Image.fromarray(np.clip(image * light + grain, 0, 255).astype(np.uint8))


def _warped(draw: np.random.Generator, photo: int) -> Image.Image:
    """A turned and scaled cut of a photo, at about its own resolution."""
    scale, angle = draw.uniform(0.75, 1), draw.uniform(-0.08, 0.08)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    x, y = draw.uniform(50, 1280 - WIDTH - 50), draw.uniform(72, 854 - HEIGHT - 72)
    return _mirrored(photo).transform((WIDTH, HEIGHT), Image.Transform.AFFINE, (a, b, x, -b, a, y), Image.BICUBIC)


@lru_cache
def _mirrored(photo: int) -> Image.Image:
    """A sample photo beside its mirror pictures, so that a cut of half a megapixel fits in."""
    image = Image.fromarray(load_sample_images().images[photo])
    sheet = Image.new("RGB", (2 * image.width, 2 * image.height))
    for right in (0, 1):
        for below in (0, 1):
            part = ImageOps.mirror(image) if right else image
            sheet.paste(ImageOps.flip(part) if below else part, (right * image.width, below * image.height))
    return sheet


def _soft(draw: np.random.Generator, channels: int, high: int) -> Image.Image:
    """Smooth light, or a smooth mask."""
    shape = (3, 4, 3) if channels == 3 else (3, 4)
    return Image.fromarray(draw.integers(high // 8, high, shape, np.uint8)).resize((WIDTH, HEIGHT), Image.BICUBIC)


def make_shards(originals: Path, folder: Path, encoding: str, work: Path, shard_pictures: int = 4096) -> None:
    """Our shards of these files, by the images stage itself."""
    from rich.console import Console

    from workbench.artifacts.stage import Work
    from workbench.artifacts.store import Artifact
    from workbench.images import build
    from workbench.recipe.schema import Catalog, Feed, Images, Runtime

    if (folder / "index.parquet").exists():
        return
    names = sorted(path.name for path in originals.glob("*.jpg"))
    rows = pl.DataFrame({"row": range(len(names)), "id": names, "feed": 0, "order": 0, "name": names})
    rows = rows.cast({"row": pl.UInt32, "feed": pl.UInt32, "order": pl.UInt32})
    for made in (work, folder):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
    rows.select("row", "id", "feed").write_parquet(work / "items.parquet")
    rows.select("row", "order", "name").write_parquet(work / "pictures.parquet")
    files = {path.name: {"bytes": path.stat().st_size} for path in work.iterdir()}
    inputs = {"ingest": Artifact(work, "ingest", "key", {}, {}, files)}
    stage = build.stage(
        Images(side=SIDE, encoding=encoding, shard_pictures=shard_pictures),
        Catalog(feeds=(Feed(path=originals / "feed.csv", pictures=originals),)),
        {},
    )
    summary = stage.run(Work(folder, inputs, Runtime(threads=2), Console(quiet=True), work / "log"))
    assert summary["present"] == len(names), summary
    shutil.rmtree(work)


def unpack(shards: Path, folder: Path) -> None:
    """The pictures of our shards as files of the very same bytes."""
    from workbench.images.shard import Shards

    folder.mkdir(parents=True, exist_ok=True)
    reader = Shards(shards)
    for row in np.flatnonzero(reader.usable).tolist():
        (folder / f"{row:05}.jpg").write_bytes(reader.bytes(row))
