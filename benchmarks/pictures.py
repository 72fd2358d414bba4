"""The images stage against Pillow in two processes.

usage: python benchmarks/pictures.py [FOLDER] [COUNT] [ROUNDS] [SET ...]

Makes sets of COUNT (2,000) pictures in FOLDER where they aren't there, the same bytes each time:

- drawn, photo: JPEG of 0.5 megapixel; flat shapes (0.6 bits a pixel), and parts of the two photographs that come with
  scikit-learn, with grain (1.6 bits a pixel);
- large: JPEG of 3 megapixels, every other one drawn (a tenth of COUNT);
- small: JPEG and PNG about 200 px;
- png: sizes log-normal around 250 px, photo-like and drawn, RGB, RGBA, grey and palette, one of 14,000 x 12,000.

Then, in turn, ROUNDS (3) times each in a process of its own, all pictures of a set into squares of 256 px, as JPEG of
quality 95 without chroma subsampling:

- mlim: the images stage as `mlim run` has it: verified, fitted, stored, hashed for duplicates, indexed;
- pillow: two processes; decoded whole, shrunk by the antialiased bicubic filter, laid on white;
- thumbnail: the same by `Image.thumbnail` as it comes, which has JPEG decoded at a half or less where that is enough.

Prints pictures/s, processor seconds and the most memory that all processes of each had at once (resident, sampled), the
ratios, and how near what mlim stores comes to what pillow stores (PSNR in dB: least, median).
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE, QUALITY = 256, 95
LARGEST = (14_000, 12_000)
MODES = ("RGB", "RGB", "RGB", "RGBA", "P", "L")
HALF_MEGAPIXEL = ((816, 612), (707, 707), (612, 816), (900, 556))
COMPARED = 200  # pictures of a set


def main(folder: Path, count: int, rounds: int, sets: list[str]) -> None:
    for name in sets or MAKERS:
        number = count // 10 if name == "large" else count
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(make_picture, [name] * number, [folder / name] * number, range(number), chunksize=8))
        run_set(name, folder / name, rounds)


def run_set(name: str, folder: Path, rounds: int) -> None:
    paths = sorted(folder.iterdir())
    print(f"{name}: {len(paths):,} files, {_pixels(paths) / 1e9:.2f} gigapixels", flush=True)
    best: dict[str, list[float]] = {}
    for _ in range(rounds):
        for who in ("mlim", "pillow", "thumbnail"):
            wall, cpu, memory = measured(who, folder)
            before = best.setdefault(who, [wall, cpu])
            best[who] = [min(wall, before[0]), min(cpu, before[1])]
            print(f"  {who:9} {len(paths) / wall:7,.0f}/s  cpu {cpu:6.2f} s  {memory / 2**20:6,.0f} MiB", flush=True)
    for who in ("pillow", "thumbnail"):
        wall, cpu = (theirs / ours for theirs, ours in zip(best[who], best["mlim"], strict=True))
        print(f"  {who} / mlim: {wall:.2f} in time, {cpu:.2f} in processor time (the best of each)")
    near = sorted(compared(folder, paths))
    print(
        f"  against pillow: {near[0]:.1f} dB at least, {near[len(near) // 2]:.1f} the median of {len(near)}", flush=True
    )


def make_picture(name: str, folder: Path, i: int) -> None:
    """One picture of a set: the same bytes for the same number."""
    if list(folder.glob(f"{i:05}.*")):
        return
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(i)
    image, options = MAKERS[name](draw, i)
    kind = "JPEG" if "quality" in options else "PNG"
    aside = folder / f"{i:05}.tmp"
    image.save(aside, kind, **options)
    aside.replace(aside.with_suffix("." + kind.lower()))


def drawn(draw: np.random.Generator, i: int) -> tuple[Image.Image, dict[str, int]]:
    return _drawn(draw, *HALF_MEGAPIXEL[i % 4]), {"quality": 85}


def photo(draw: np.random.Generator, i: int) -> tuple[Image.Image, dict[str, int]]:
    return _photo(draw, *HALF_MEGAPIXEL[i % 4]), {"quality": 85}


def large(draw: np.random.Generator, i: int) -> tuple[Image.Image, dict[str, int]]:
    return (_drawn, _photo)[i % 2](draw, 2000, 1500), {"quality": 88}


def small(draw: np.random.Generator, i: int) -> tuple[Image.Image, dict[str, int]]:
    image = (_drawn, _photo)[i % 2](draw, *draw.integers(150, 250, 2).tolist())
    return image, {"quality": 88} if i % 4 < 2 else {"compress_level": 6}


def png(draw: np.random.Generator, i: int) -> tuple[Image.Image, dict[str, int]]:
    sizes = np.exp(draw.normal(np.log(250), 1.15) + draw.normal(0, 0.25, 2))
    width, height = LARGEST if i == 0 else np.clip(sizes, 16, 8000).astype(int).tolist()
    mode = MODES[i % len(MODES)] if i else "RGB"
    image = (_smooth, _drawn)[i % 2](draw, width, height)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize((width, height)))
    elif mode == "P":
        image = image.quantize(64)
    return image.convert(mode), {"compress_level": 1 if i == 0 else 6}


MAKERS = {"drawn": drawn, "photo": photo, "large": large, "small": small, "png": png}


def _photo(draw: np.random.Generator, width: int, height: int) -> Image.Image:
    """Part of a photograph, with grain as a sensor has it."""
    from sklearn.datasets import load_sample_images

    whole = Image.fromarray(load_sample_images().images[draw.integers(2)])
    scale = draw.uniform(0.7, 1) * min(whole.width / width, whole.height / height)
    left, top = draw.random() * (whole.width - scale * width), draw.random() * (whole.height - scale * height)
    box = (left, top, left + scale * width, top + scale * height)
    image = np.asarray(whole.resize((width, height), Image.Resampling.LANCZOS, box=box))
    grain = np.rint(draw.normal(0, 3, (height, width, 1)))
    return Image.fromarray((image + grain).clip(0, 255).astype(np.uint8))


def _smooth(draw: np.random.Generator, width: int, height: int) -> Image.Image:
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


def _pixels(paths: list[Path]) -> int:
    Image.MAX_IMAGE_PIXELS = None
    total = 0
    for path in paths:
        with Image.open(path) as image:
            total += image.width * image.height
    return total


def measured(who: str, folder: Path) -> tuple[float, float, int]:
    """Seconds of a run in a process of its own, those of the processor, and the most bytes that it and its children
    held at once."""
    with tempfile.TemporaryDirectory() as out:
        began, most = time.perf_counter(), 0
        run = subprocess.Popen([sys.executable, __file__, f"--{who}", str(folder), out])
        while not (ended := os.wait4(run.pid, os.WNOHANG))[0]:
            most = max(most, _resident(run.pid))
            time.sleep(0.02)
        assert ended[1] == 0
        run.returncode = 0
        return time.perf_counter() - began, ended[2].ru_utime + ended[2].ru_stime, most


def _resident(pid: int) -> int:
    """Bytes of a process and its children; shared pages count for each."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_resident(int(child)) for child in children)


def compared(folder: Path, paths: list[Path]) -> Iterator[float]:
    """PSNR of what mlim stores against what pillow stores, in dB, of some pictures of the set."""
    from workbench.images.shard import Shards

    with tempfile.TemporaryDirectory() as out:
        shards = Shards(run_mlim(folder, Path(out)))
        for row in range(0, len(paths), -(-len(paths) // COMPARED)):
            ours, theirs = (
                np.asarray(Image.open(io.BytesIO(stored)), float) for stored in (shards.bytes(row), squared(paths[row]))
            )
            yield 10 * np.log10(255**2 / max(((ours - theirs) ** 2).mean(), 1e-9))


def run_pillow(folder: Path, out: Path, gap: float | None = None) -> None:
    paths = sorted(folder.iterdir())
    with ProcessPoolExecutor(2) as pool, (out / "all.bin").open("wb") as file:
        for encoded in pool.map(squared, paths, [gap] * len(paths), chunksize=8):
            file.write(encoded)


def squared(path: Path, gap: float | None = None) -> bytes:
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        if image.has_transparency_data:
            clear = image.convert("RGBA")
            small = Image.new("RGB", image.size, "white")
            small.paste(clear, mask=clear)
        else:
            small = image if image.mode == "RGB" else image.convert("RGB")
        small.thumbnail((SIDE, SIDE), reducing_gap=gap)
        side = max(small.size)
        square = Image.new("RGB", (side, side), "white")
        square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    out = io.BytesIO()
    square.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()


def run_mlim(folder: Path, out: Path) -> Path:
    import polars as pl
    from rich.console import Console

    from workbench.artifacts.stage import Work
    from workbench.artifacts.store import Artifact
    from workbench.images import build
    from workbench.recipe.schema import Catalog, Feed, Images, Runtime

    names = sorted(p.name for p in folder.iterdir())
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
    return made


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mlim"]:
        run_mlim(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] in (["--pillow"], ["--thumbnail"]):
        run_pillow(Path(sys.argv[2]), Path(sys.argv[3]), 2.0 if sys.argv[1] == "--thumbnail" else None)
    else:
        given = dict(enumerate(sys.argv[1:]))
        folder, count, rounds = given.get(0, "/tmp/mlim-pictures"), given.get(1, 2000), given.get(2, 3)
        main(Path(folder), int(count), int(rounds), sys.argv[4:])
