"""What reading shards costs beside decoding: opening an index of many listings, and a checksum at each read.

    python benchmarks/shards.py [LISTINGS]

Checksums by four libraries, each with the resize that comes after it: one that leaves the AVX registers dirty slows it.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import polars as pl
from isal import isal_zlib

from workbench.images.shard import Shards

TIMES = 500


def main() -> None:
    listings = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder), listings)
        before = memory("VmRSS")
        begun = time.perf_counter()
        shards = Shards(Path(folder), Path(folder) / "final.parquet")
        seconds, peak = time.perf_counter() - begun, memory("VmHWM") - before
        held = sum(value.nbytes for value in vars(shards).values() if isinstance(value, np.ndarray)) >> 20
        print(f"{len(shards):,} listings opened in {seconds:.1f} s, {held} MB held, {peak} MB at most meanwhile")
    for size in (15_000, 40_000, 196_608):
        checksums(size)


def write_index(folder: Path, listings: int) -> None:
    row = np.arange(listings, dtype=np.uint32)
    state = pl.select(pl.when(pl.Series(row) % 50 == 7).then(pl.lit("absent")).otherwise(pl.lit("present"))).to_series()
    place = {"shard": row // 4096, "offset": row.astype(np.uint64), "length": row, "crc32": row}
    lines = pl.DataFrame({"row": row, "order": row * 0, "state": state, **place, "side": (row * 0).astype(np.uint16)})
    lines.write_parquet(folder / "index.parquet", row_group_size=1 << 16)
    lines.select("row", "order", "state").write_parquet(folder / "final.parquet", row_group_size=1 << 16)
    (folder / "shards.json").write_text('{"side": 256, "encoding": "jpeg"}')


def memory(which: str) -> int:
    """MB of this process."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in status if line.startswith(which))


def checksums(size: int) -> None:
    data = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    picture, small = np.zeros((256, 256, 3), np.uint8), np.zeros((224, 224, 3), np.uint8)
    ways: dict[str, Callable[[bytes], int]] = {
        "none": lambda _: 0,
        "zlib": zlib.crc32,
        "libdeflate (ours)": imagecodecs.deflate_crc32,
        "zlib-ng": imagecodecs.zlibng_crc32,
        "ISA-L": isal_zlib.crc32,
    }
    for name, way in ways.items():
        imagecodecs.deflate_crc32(data)  # which cleans what ISA-L's left
        spent = np.zeros(2)
        for _ in range(TIMES):
            times = [time.perf_counter()]
            way(data)
            times.append(time.perf_counter())
            cv2.resize(picture, (224, 224), dst=small)
            spent += np.diff([*times, time.perf_counter()])
        checksum, resize = spent / TIMES * 1e6
        print(f"{size:,} bytes, {name}: {checksum:.1f} µs, a resize after it {resize:.0f} µs")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
