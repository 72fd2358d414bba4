"""A catalog prepared on Ray clusters of this machine's processes: speed-up, memory, and one machine killed midway.

usage: python -m benchmarks.cluster FOLDER [--listings 1500] [--rounds 5]

Makes a catalog in FOLDER, of 1000-pixel JPEGs in a folder. Machines of one core each, played by processes here, which
share its cores: on such as others use, two can do no more than one. Told are

- the ratio of the Images stage on one and on two of them, in turns, and of pieces that only wait;
- how the processor's seconds of that stage divide between them and this process, which writes;
- for a quarter of the listings and for all, the most memory of its own that one of their processes held, and this one;
- whether all stages give the bytes of threads where one of three machines is killed at a third of the pictures.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import shutil
import statistics
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from tests.cluster import Machines
from workbench.images.writer import ShardWriter
from workbench.plan import DATA_GOALS, Made, plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree

SIDE = 1000


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("--listings", type=int, default=1500)
    asked.add_argument("--rounds", type=int, default=5)
    given = asked.parse_args()
    if not (given.folder / "all.csv").exists():
        make(given.folder, given.listings)
    speed_up(given.folder, given.rounds)
    for feed in ("quarter", "all"):
        memory(given.folder, feed)
    one_is_lost(given.folder, given.listings // 3)


def make(folder: Path, listings: int) -> None:
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    stream, lines = np.random.default_rng(0), [["id", "title", "description", "image"]]
    for i in range(listings):
        small = stream.integers(0, 256, (12, 12, 3)).astype(np.uint8)
        picture = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / "pictures" / f"{i}.jpg", quality=90)
        words = " ".join(f"word{w}" for w in stream.zipf(1.3, 40) % 20_000)
        lines.append([f"P{i}", f"thing {i}", words, f"{i}.jpg"])
    for name, end in (("quarter", listings // 4), ("all", listings)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines[: end + 1])


def prepared(folder: Path, cache: str, goals: tuple[str, ...], feed: str = "all", **runtime: Any) -> dict[str, Made]:
    catalog = {"feeds": [{"path": f"{feed}.csv", "pictures": "pictures"}]}
    tree = {"name": "cluster", "catalog": catalog, "images": {"side": 224}, "runtime": runtime | {"cache": cache}}
    recipe = recipe_from_tree(tree, folder)
    return run_plan(plan_recipe(recipe, goals), recipe.runtime, Console(file=io.StringIO()))


def on(machines: Machines, folder: Path, cache: str, goals: tuple[str, ...], feed: str = "all") -> dict[str, Made]:
    import ray

    ray.shutdown()  # from another
    list(machines.executor().in_order(warm, range(8)))
    return prepared(folder, cache, goals, feed, executor="ray", cluster=machines.address)


def warm(_: int) -> None:
    """A process starts and imports what it needs."""
    from workbench.images import store  # noqa: F401

    time.sleep(1)


def speed_up(folder: Path, rounds: int) -> None:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    waited: dict[int, list[float]] = {1: [], 2: []}
    there, here = 0.0, 0.0
    with closing(Machines(1)) as one, closing(Machines(2)) as two:
        for _ in range(rounds):
            for count, machines in ((1, one), (2, two)):
                shutil.rmtree(folder / "speed", ignore_errors=True)
                on(machines, folder, "speed", ("ingest",))
                before = [sum(map(processor, machines.processes())), processor(os.getpid())]
                made = prepared(folder, "speed", ("images",), executor="ray", cluster=machines.address)
                seconds[count].append(made["images"].seconds or 0)
                there += sum(map(processor, machines.processes())) - before[0]
                here += processor(os.getpid()) - before[1]
                began = time.perf_counter()
                list(machines.executor().in_order(time.sleep, [0.3] * 24, 24))
                waited[count].append(time.perf_counter() - began)
    for what, took in (("images", seconds), ("waiting", waited)):
        ratios = [a / b for a, b in zip(took[1], took[2], strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{what}: {statistics.median(ratios):.2f} times as fast on two machines as on one ({shown})")
    print(
        f"the processor's time: {there:.1f} s there, {here:.1f} s here: one writer for {there / here:.0f} cores",
        flush=True,
    )


def processor(pid: int) -> float:
    """Seconds; of one that has ended none."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0


def memory(folder: Path, feed: str) -> None:
    """Each time on machines of its own, so that none remembers."""
    shutil.rmtree(folder / "memory", ignore_errors=True)
    with closing(Machines(2)) as machines:
        held: dict[int, int] = {}
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                for pid in (*machines.processes(), os.getpid()):
                    held[pid] = max(held.get(pid, 0), own(pid))

        watching = threading.Thread(target=watch)
        watching.start()
        made = on(machines, folder, "memory", DATA_GOALS, feed)
        ended.set()
        watching.join()
        here = held.pop(os.getpid())
    listings = made["ingest"].artifact.summary["listings"]
    print(f"{listings} listings: at most {max(held.values()) >> 20} MB in a process, {here >> 20} MB here", flush=True)


def own(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon")), 0)
    return 0


def one_is_lost(folder: Path, after: int) -> None:
    for cache in ("here", "there"):
        shutil.rmtree(folder / cache, ignore_errors=True)
    expected = prepared(folder, "here", DATA_GOALS)
    added, add = [0], ShardWriter.add
    with closing(Machines(3)) as machines:

        def killing(*args: Any) -> None:
            added[0] += 1
            if added[0] == after:
                machines.kill()
            add(*args)

        ShardWriter.add = killing  # type: ignore[assignment,method-assign]
        found = on(machines, folder, "there", DATA_GOALS)
        ShardWriter.add = add  # type: ignore[method-assign]
    same = [name for name in expected if found[name].artifact.files == expected[name].artifact.files]
    print(
        f"one of three machines killed after {after} pictures: {len(same)} of {len(expected)} stages the same",
        flush=True,
    )


if __name__ == "__main__":
    main()
