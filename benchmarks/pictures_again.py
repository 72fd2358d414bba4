"""Next week's pictures: the images stage with 1% of them changed, against all of them anew.

usage: python benchmarks/pictures_again.py [COUNT]

Makes COUNT (20,000) JPEG pictures of 300 px; stores all, changes 1%, stores them anew, and with the first run.
Prints seconds, the share, and whether the bytes are equal.
"""

import hashlib
import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from rich.console import Console

from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.images import build
from workbench.recipe.schema import Catalog, Feed, Images, Runtime

SIDE = 300


def main(count: int) -> None:
    draw = np.random.default_rng(0)
    sheet = Image.fromarray(draw.integers(0, 256, (100, 100, 3), np.uint8)).resize(
        (4000, 4000), Image.Resampling.BICUBIC
    )
    with tempfile.TemporaryDirectory() as root:
        place = Path(root, "pictures")
        for i in range(count):
            write_picture(place / f"{i % 100:02}" / f"{i}.jpg", sheet, draw)
        names = [f"{i % 100:02}/{i}.jpg" for i in range(count)]
        _, first = stored(Path(root, "first"), place, names)
        for i in draw.choice(count, count // 100, replace=False):
            write_picture(place / names[i], sheet, draw)
        took, whole = stored(Path(root, "whole"), place, names)
        again, taken = stored(Path(root, "again"), place, names, first)
        print(
            f"{count:,} pictures: all {took:.1f} s ({count / took:,.0f}/s), 1% anew {again:.1f} s, {again / took:.1%}"
        )
        print("bytes equal" if whole.files == taken.files else "BYTES DIFFER")


def write_picture(path: Path, sheet: Image.Image, draw: np.random.Generator) -> None:
    left, top = draw.integers(0, sheet.width - SIDE, 2).tolist()
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    sheet.crop((left, top, left + SIDE, top + SIDE)).save(out, "JPEG", quality=85)
    path.write_bytes(out.getvalue())


def stored(folder: Path, place: Path, names: list[str], earlier: Artifact | None = None) -> tuple[float, Artifact]:
    """Seconds that the stage took, and what it made."""
    rows = pl.DataFrame({"row": range(len(names)), "id": names, "feed": 0, "order": 0, "name": names})
    rows = rows.cast({"row": pl.UInt32, "feed": pl.UInt32, "order": pl.UInt32})
    ingest, made = folder / "ingest", folder / "images"
    for one in (ingest, made):
        one.mkdir(parents=True)
    rows.select("row", "id", "feed").write_parquet(ingest / "items.parquet")
    rows.select("row", "order", "name").write_parquet(ingest / "pictures.parquet")
    inputs = {"ingest": artifact(ingest, "ingest")}
    work = Work(made, inputs, Runtime(threads=2), Console(quiet=True), folder / "log", earlier)
    catalog = Catalog(feeds=(Feed(path=place / "feed.csv", pictures=place),))
    began = time.perf_counter()
    build.stage(Images(), catalog, {}).run(work)
    return time.perf_counter() - began, artifact(made, "images")


def artifact(folder: Path, stage: str) -> Artifact:
    contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    files = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    return Artifact(folder, stage, "key", {}, {}, files)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
