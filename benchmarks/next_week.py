"""Next week's feed, as a user runs it: `mlim verify` on a changed catalog, beside the same catalog in a fresh cache.

usage: python benchmarks/next_week.py [COUNT] [--side PIXELS] [--folder FOLDER]

Makes COUNT (100,000) listings with pictures of SIDE (300) pixels; verifies them; changes 1% (titles, pictures, some
come, some go); verifies again, and once more with an empty cache. Prints seconds of each stage, of the whole command
and of the processor, the share, and whether all artifacts' bytes are equal. Needs some 4 GB in FOLDER (a temporary
one).
"""

import argparse
import io
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

WORDS = (
    *("oak", "pine", "steel", "glass", "cotton", "linen", "wool", "silk", "blue", "red", "green", "white", "black"),
    *("amber", "teal", "mug", "bowl", "lamp", "chair", "table", "shelf", "vase", "tray", "towel", "pillow", "carpet"),
    *("clock", "frame", "basket", "candle", "kettle", "teapot", "spoon", "fork", "apron", "stool", "bench", "rack"),
)


def main(count: int, side: int, folder: Path) -> None:
    draw = np.random.default_rng(0)
    feed = [_listing(i, draw) for i in range(count)]
    for line in feed:
        _picture(folder / line["picture"], side, draw)
    changed = set(draw.choice(count, count // 100, replace=False).tolist())
    _write(feed, folder)
    first = _verify(folder, "cache")
    _change(feed, changed, folder, side, draw)
    _write(feed, folder)
    again, anew = _verify(folder, "cache"), _verify(folder, "fresh")
    for stage in anew["stages"]:
        print(
            f"{stage:<12} first {first['stages'][stage]:8.1f} s   1% changed {again['stages'][stage]:7.1f} s   "
            f"anew {anew['stages'][stage]:8.1f} s"
        )
    for what, key in (("whole command", "seconds"), ("of processor", "processor")):
        print(
            f"{count:,} listings, {what}: first {first[key]:.1f} s, 1% changed {again[key]:.1f} s, "
            f"anew {anew[key]:.1f} s: {again[key] / anew[key]:.1%}"
        )
    same = again["digests"] == anew["digests"]
    print("all artifacts' bytes are equal" if same else f"BYTES DIFFER: {again['digests']} {anew['digests']}")


def _listing(i: int, draw: np.random.Generator) -> dict[str, str]:
    words = draw.choice(WORDS, 12)
    code = f"{draw.integers(36**5):05x}"
    return {
        "id": f"P{i:07}",
        "title": " ".join(words[:5]) + f" {code}",
        "description": f"<p>{' '.join(words[5:])} &amp; more, model {code}</p>",
        "picture": f"pictures/{i % 100:02}/{i}.jpg",
    }


def _picture(path: Path, side: int, draw: np.random.Generator) -> None:
    colours = Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8))
    out = io.BytesIO()
    colours.resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out.getvalue())


def _change(feed: list[dict[str, str]], changed: set[int], folder: Path, side: int, draw: np.random.Generator) -> None:
    """A quarter each: another title, another picture, gone, and another product in its place at the end."""
    for kind, i in enumerate(sorted(changed)):
        if kind % 4 == 0:
            feed[i]["title"] += " new"
        elif kind % 4 == 1:
            _picture(folder / feed[i]["picture"], side, draw)
        else:
            feed[i] = _listing(len(feed) + i, draw) if kind % 4 == 3 else {}
            if feed[i]:
                _picture(folder / feed[i]["picture"], side, draw)
    feed[:] = [line for line in feed if line]


def _write(feed: list[dict[str, str]], folder: Path) -> None:
    pl.DataFrame(feed).write_csv(folder / "shop.csv")
    (folder / "shop.yaml").write_text(
        "catalog:\n  feeds:\n    - path: shop.csv\n      columns:\n        {id: id, title: title, picture: picture, "
        "text: {description: description}}\n"
    )


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _verify(folder: Path, cache: str) -> dict[str, Any]:
    """Seconds of the command and of its stages, and the digests of all that it made."""
    command = [sys.executable, "-c", "from workbench.cli import app; app()", "verify", str(folder / "shop.yaml")]
    began, spent = time.perf_counter(), _processor()
    told = subprocess.run(
        [*command, "--set", f"runtime.cache={folder / cache}"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    seconds = time.perf_counter() - began
    rows = re.findall(r"^(\w+)\t(\w{8})\tmade\t([\d.]+)$", told, re.MULTILINE)
    manifests = {
        name: json.loads(next((folder / cache).glob(f"{name}-{key}*/manifest.json")).read_text())
        for name, key, _ in rows
    }
    digests = {name: {f: d["sha256"] for f, d in m["files"].items()} for name, m in manifests.items()}
    processor = _processor() - spent
    return {
        "seconds": seconds,
        "processor": processor,
        "stages": {name: float(took) for name, _, took in rows},
        "digests": digests,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as root:
        main(asked.count, asked.side, Path(root))
