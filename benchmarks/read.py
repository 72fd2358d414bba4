#!/usr/bin/env python3
"""Read a feed by blocks, by the slow twin, and as polars reads it: wall and processor seconds in one run, and memory.

usage: read.py FEED.csv|FEED.jsonl [--times 3]     (make_feed.py makes one)
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl

from workbench.catalog.feeds import delimited, jsonl
from workbench.catalog.feeds.blocks import Block
from workbench.catalog.feeds.read import open_feed

NOTHING = Block(b"", np.zeros(0, np.int64), np.zeros(0, np.int64), 0)


def ours(path: Path) -> int:
    return sum(table.rows for table in open_feed(path))


def head(path: Path) -> int:
    return sum(table.rows for table in open_feed(path, limit=200))


def slow_twin(path: Path) -> int:
    with (
        patch.object(delimited, "sound_block", lambda *_: (NOTHING, True)),
        patch.object(jsonl, "_all", lambda *_: None),
        patch.object(jsonl, "_fast", lambda line: jsonl.parse_slowly(line.decode())),
    ):
        return ours(path)


def by_polars(path: Path) -> int:
    if path.suffix == ".jsonl":
        return pl.read_ndjson(path).height
    return pl.read_csv(path, infer_schema=False).height


def timed(read: Callable[[Path], int], path: Path) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    read(path)
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("feed", type=Path)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    megabytes = options.feed.stat().st_size / 1e6
    head(options.feed)  # modules loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for read in (head, ours, slow_twin, by_polars):
        wall, processor = min(timed(read, options.feed) for _ in range(options.times))
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before
        print(
            f"{read.__name__:10} {wall:6.2f} s, {processor:6.2f} s of processors, {megabytes / wall:6.0f} MB/s; "
            f"peak memory until now +{more} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
