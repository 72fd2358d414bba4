"""The images stage against Pillow in two processes, on PNG files of all sizes.

usage: python benchmarks/pictures.py [FOLDER] [COUNT] [ROUNDS]

Makes COUNT (8,000) pictures in FOLDER if they aren't there: photo-like and drawn, RGB, RGBA, grey and palette, sizes
log-normal around 250 px, one of 14,000 x 12,000. Then, in turn, ROUNDS (2) times each in a process of its own:

- mlim's images stage: verified (checksums, every pixel), fitted into 256 px, stored, hashed for duplicates;
- Pillow in two processes: opened, decoded, converted to RGB, `thumbnail` to 256 px, saved in the same encoding.

Prints pictures/s, the ratio and the most memory that all processes of each had at once (resident, sampled).
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

SIDE, QUALITY = 256, 95
LARGEST = (14_000, 12_000)
MODES = ("RGB", "RGB", "RGB", "RGBA", "P", "L")


def main(folder: Path, count: int, rounds: int) -> None:
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(make_picture, [folder] * count, range(count), chunksize=16))
    names = sorted(p.name for p in folder.glob("*.png"))
    pixels = sum(width * height for width, height in map(_size, map(folder.joinpath, names)))
    print(f"{len(names):,} PNG files, {pixels / 1e9:.2f} gigapixels", flush=True)
    seconds: dict[str, list[float]] = {"mlim": [], "pillow": []}
    for _ in range(rounds):
        for name, times in seconds.items():
            took, memory = measured(name, folder)
            times.append(took)
            print(f"  {name:7} {len(names) / took:8,.0f} pictures/s   {memory / 2**20:7,.0f} MiB at most", flush=True)
    print(f"ratio of the best: {min(seconds['pillow']) / min(seconds['mlim']):.2f}")


def make_picture(folder: Path, i: int) -> None:
    """One picture of the set: the same bytes for the same number."""
    path = folder / f"{i:05}.png"
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(i)
    width, height = (
        np.clip(np.exp(draw.normal(np.log(250), 1.15) + draw.normal(0, 0.25, 2)), 16, 8000).astype(int).tolist()
    )
    if i == 0:
        width, height = LARGEST
    mode = MODES[i % len(MODES)] if i else "RGB"
    image = _photo(draw, width, height) if i % 2 == 0 else _drawn(draw, width, height)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize((width, height)))
    elif mode == "P":
        image = image.quantize(64)
    aside = path.with_suffix(".tmp")
    image.convert(mode).save(aside, "PNG", compress_level=1 if i == 0 else 6)
    aside.replace(path)


def _photo(draw: np.random.Generator, width: int, height: int) -> Image.Image:
    """Smooth light with grain."""
    coarse = Image.fromarray(draw.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), np.uint8))
    image = coarse.resize((width, height), Image.Resampling.BICUBIC)
    grain = Image.fromarray(draw.integers(0, 9, (min(height, 512), min(width, 512), 3), np.uint8))
    tiled = Image.new("RGB", image.size)
    for top in range(0, height, grain.height):
        for left in range(0, width, grain.width):
            tiled.paste(grain, (left, top))
    return Image.blend(image, tiled, 0.5)


def _drawn(draw: np.random.Generator, width: int, height: int) -> Image.Image:
    """Flat shapes, as logos and diagrams have them."""
    image = Image.new("RGB", (width, height), "white")
    pencil = ImageDraw.Draw(image)
    for x, y, size, *colour in draw.random((30, 6)):
        box = (x * width, y * height, x * width + size * width / 2 + 1, y * height + size * height / 2 + 1)
        pencil.ellipse(box, fill=tuple(int(255 * c) for c in colour))
    return image


def _size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        head = file.read(24)
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def measured(name: str, folder: Path) -> tuple[float, int]:
    """Seconds of a run in a process of its own, and the most bytes that it and its children held at once."""
    with tempfile.TemporaryDirectory() as out:
        began, most = time.perf_counter(), 0
        run = subprocess.Popen([sys.executable, __file__, f"--{name}", str(folder), out])
        while run.poll() is None:
            most = max(most, _resident(run.pid))
            time.sleep(0.05)
        assert run.returncode == 0
        return time.perf_counter() - began, most


def _resident(pid: int) -> int:
    """Bytes of a process and its children; shared pages count for each."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_resident(int(child)) for child in children)


def run_pillow(folder: Path, out: Path) -> None:
    Image.MAX_IMAGE_PIXELS = None
    with ProcessPoolExecutor(2) as pool, (out / "all.bin").open("wb") as file:
        for encoded in pool.map(_thumbnail, sorted(folder.glob("*.png")), chunksize=8):
            file.write(encoded)


def _thumbnail(path: Path) -> bytes:
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()


def run_mlim(folder: Path, out: Path) -> None:
    from rich.console import Console

    from workbench.artifacts.stage import Work
    from workbench.artifacts.store import Artifact
    from workbench.images import build
    from workbench.recipe.schema import Catalog, Feed, Images, Runtime

    names = sorted(p.name for p in folder.glob("*.png"))
    rows = pl.DataFrame({"row": range(len(names)), "id": names, "feed": 0, "order": 0, "name": names})
    ingest = out / "ingest"
    ingest.mkdir()
    rows = rows.cast({"row": pl.UInt32, "feed": pl.UInt32, "order": pl.UInt32})
    rows.select("row", "id", "feed").write_parquet(ingest / "items.parquet")
    rows.select("row", "order", "name").write_parquet(ingest / "pictures.parquet")
    files = {p.name: {"bytes": p.stat().st_size} for p in ingest.iterdir()}
    made = out / "images"
    made.mkdir()
    inputs = {"ingest": Artifact(ingest, "ingest", "key", {}, {}, files)}
    work = Work(made, inputs, Runtime(threads=2), Console(quiet=True), out / "log")
    images = Images(side=SIDE, quality=QUALITY, max_pixels=200_000_000)
    summary = build.stage(images, Catalog(feeds=(Feed(path=folder / "feed.csv", pictures=folder),)), {}).run(work)
    assert summary["present"] == len(names), summary
    shutil.rmtree(made)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mlim"]:
        run_mlim(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--pillow"]:
        run_pillow(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        given = dict(enumerate(sys.argv[1:]))
        main(Path(given.get(0, "/tmp/mlim-pictures")), int(given.get(1, 8000)), int(given.get(2, 2)))
