"""What each stage costs at growing catalogs: seconds, bytes and memory, a line through them, and what that misses.

usage: python benchmarks/scale.py FOLDER [LISTINGS ...] [--texts] [--stages ingest images ...] [--limit GB] [--fresh]

Makes catalogs of 1, 10 and 100 thousand listings (or so many as are asked for) in FOLDER, with a picture each (8 GB a
million, all in all) or with texts alone. Each catalog is a function of its size.
Each stage runs in a process of its own; of it and its children are told the processor's seconds, the bytes of the
artifact, and the most memory held at once but for mapped files. One that holds more than the limit (3 GB) is ended. A
line through all sizes but the largest is held against that one; COSTS.json in FOLDER keeps what was measured.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STAGES = ("make", "plan", "ingest", "images", "duplicates", "split", "tokens")
FIGURES = ("seconds", "bytes", "memory")
BROKE = 3  # exit status
SIDE, BLOCK = 64, 10_000  # pixels of a picture, listings made at once
RECIPE = """
name: scale
catalog:
  feeds: [{path: feed.csv, pictures: pictures.tar}]
images: {side: 32}
runtime: {cache: cache}
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("listings", type=int, nargs="*", default=[1000, 10_000, 100_000])
    asked.add_argument("--texts", action="store_true", help="listings without pictures")
    asked.add_argument("--stages", nargs="+", default=STAGES)
    asked.add_argument("--limit", type=float, default=3.0)
    asked.add_argument("--fresh", action="store_true", help="make again what is there")
    asked.add_argument("--child", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.child:
        measure(given.folder, given.child, given.listings[0], given.texts, given.limit * 1e9)
        return
    kept = given.folder / "COSTS.json"
    costs: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
    for count in given.listings:
        for stage in given.stages:
            measured = costs.setdefault(stage, {})
            if given.fresh or str(count) not in measured:
                measured[str(count)] = in_a_process(given.folder, stage, count, given.texts, given.limit)
                print(f"{count:>11,} {stage:<10} {measured[str(count)]}", flush=True)
                kept.write_text(json.dumps(costs, indent=1))
    for line in model(costs):
        print(line)


def in_a_process(folder: Path, stage: str, count: int, texts: bool, limit: float) -> dict[str, float]:
    folder = folder / str(count)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, str(folder), str(count), "--child", stage, "--limit", str(limit)]
    done = subprocess.run([*command, *(["--texts"] if texts else [])], capture_output=True, text=True)
    if done.returncode not in (0, BROKE):
        raise SystemExit(f"{stage} of {count}: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(folder: Path, stage: str, count: int, texts: bool, limit: float) -> None:
    """Run one stage here and print its figures; ends the process where it holds more than `limit` bytes."""
    most, begun, over = [0], time.monotonic(), threading.Event()

    def figures() -> dict[str, float]:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        processor = sum(u.ru_utime + u.ru_stime for u in used)
        return {"seconds": round(processor, 2), "wall": round(time.monotonic() - begun, 2), "memory": most[0]}

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], held(os.getpid()))
            if most[0] > limit:
                print(json.dumps(figures() | {"broke": limit}), flush=True)
                os._exit(BROKE)

    threading.Thread(target=watch, daemon=True).start()
    made = make(folder, count, not texts) if stage == "make" else run(folder, stage)
    over.set()
    print(json.dumps(figures() | {"bytes": made}))


def held(process: int) -> int:
    """Bytes of a process and its children that no file stands for."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        children = [c for t in Path(f"/proc/{process}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:  # it has just ended
        return 0
    anonymous = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
    return 1024 * anonymous + sum(held(int(child)) for child in children)


def run(folder: Path, stage: str) -> int:
    """Plan the stage or make it; bytes of its artifact. What comes before it is taken as verified."""
    from rich.console import Console

    from workbench.artifacts.stage import Work
    from workbench.plan import executor_of, plan_recipe, store_of
    from workbench.recipe.load import load_recipe

    (folder / "recipe.yaml").write_text(RECIPE)
    recipe = load_recipe(folder / "recipe.yaml")
    *before, step = plan_recipe(recipe, ["tokens" if stage == "plan" else stage])
    if stage == "plan":
        return (recipe.runtime.cache / "digests.json").stat().st_size
    store = store_of(recipe.runtime)
    inputs = {s.stage.name: s.artifact for s in before if s.artifact}
    with store.making(stage, step.key, resume=False) as work:
        executor, log = executor_of(recipe.runtime), store.log(stage, step.key)
        log.parent.mkdir(parents=True, exist_ok=True)
        quiet = Console(file=io.StringIO())
        given = Work(work, inputs, recipe.runtime, quiet, log, ingredients=step.ingredients, executor=executor)
        artifact = store.commit(stage, step.ingredients, step.stage.run(given))
    return sum(file["bytes"] for file in artifact.files.values())


def make(folder: Path, count: int, seen: bool) -> int:
    """Write a catalog: three in ten listings are colours of one product, one in fifty is another one said anew."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(draw.choice(letters, n)) for n in draw.integers(3, 11, 100_000)], object)
    chance = np.cumsum(1 / (np.arange(len(words)) + 10.0))
    with (folder / "feed.csv").open("wb") as feed, tarfile.open(folder / "pictures.tar", "w") as tar:
        for start in range(0, count, BLOCK):
            many = min(BLOCK, count - start)
            drawn = words[np.searchsorted(chance, draw.random((many, 30)) * chance[-1])]
            group = np.arange(many) + start
            for near, share in ((1, 0.3), (7, 0.02)):
                alike = np.flatnonzero((draw.random(many) < share) & (np.arange(many) >= near))
                drawn[alike, : 30 - (near == 1)] = drawn[alike - near, : 30 - (near == 1)]
                group[alike] = group[alike - near] if near == 1 else group[alike]
            rows = {
                "id": [f"SKU-{i:09}" for i in range(start, start + many)],
                "item_group_id": [f"G{i:09}" for i in group],
                "title": [" ".join(line) for line in drawn[:, 22:]],
                "description": [f"<p>{' '.join(line)} &amp; more</p>" for line in drawn[:, :22]],
                "brand": drawn[:, 3].astype(str),
                "price": [f"{p / 100:.2f} EUR" for p in draw.integers(100, 30_000, many)],
                "image": [f"{i % 1000:03}/{i}.jpg" for i in range(start, start + many)],
            }
            pl.DataFrame(rows).drop([] if seen else "image").write_csv(feed, include_header=start == 0)
            for name, data in zip(rows["image"], pictures(many, draw), strict=True) if seen else ():
                info = tarfile.TarInfo(str(name))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
                tar.members = []  # type: ignore[attr-defined]  # else all are held
    return sum((folder / name).stat().st_size for name in ("feed.csv", "pictures.tar"))


def pictures(count: int, draw: Any) -> Iterator[bytes]:
    """JPEGs of something of many colours amid white; every fiftieth is the seventh before it, saved anew."""
    import cv2
    import numpy as np
    import simplejpeg

    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    before: list[Any] = []
    for i in range(count):
        if i % 50 == 49:
            yield simplejpeg.encode_jpeg(before[-7], quality=70)
            continue
        colours = draw.integers(0, 230, (6, 6, 3), np.uint8)
        inside = (
            np.abs(x / draw.uniform(0.4, 0.95)) ** (p := draw.choice((1, 2, 8)))
            + np.abs(y / draw.uniform(0.4, 0.95)) ** p
        )
        pixels = cv2.resize(colours, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        pixels[inside > 1] = 255
        before = [*before[-6:], pixels]
        yield simplejpeg.encode_jpeg(pixels, quality=85)


def model(costs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A line of each stage: what a million takes beyond the start, and by how much the largest size is missed."""
    yield "| stage | figure | at the start | a million | the largest | foretold |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for stage, measured in costs.items():
        sizes = sorted((int(n) for n, one in measured.items() if "broke" not in one))
        for figure in FIGURES if len(sizes) > 2 else ():
            *some, most = [(n, float(measured[str(n)][figure])) for n in sizes]
            start, each = line(some[-2:] if figure == "memory" else some)  # where chunks are full
            foretold = start + each * most[0]
            yield (
                f"| {stage} | {figure} | {said(start, figure)} | {said(each * 1e6, figure)} | "
                f"{said(most[1], figure)} | {said(foretold, figure)} ({foretold / most[1] - 1:+.0%}) |"
            )


def line(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Start and slope, errors counted in shares, neither below nought."""
    import numpy as np
    from scipy.optimize import nnls

    sizes, values = (np.array(side, float) for side in zip(*points, strict=True))
    weight = 1 / np.maximum(values, 1e-9)
    found, _ = nnls(np.stack([weight, sizes * weight], 1), np.ones(len(sizes)))
    return float(found[0]), float(found[1])


def said(value: float, figure: str) -> str:
    return (
        f"{value:,.1f} s"
        if figure == "seconds"
        else f"{value / 1e9:,.2f} GB"
        if value > 1e8
        else f"{value / 1e6:,.1f} MB"
    )


if __name__ == "__main__":
    main()
