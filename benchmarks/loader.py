"""mlim's loader beside other loaders: the same pictures, the same augmentation, the same batches, in one run.

usage: python benchmarks/loader.py [FOLDER] [--rivals PYTHON] [--quick] [--flat] [--count N] [--rounds N] [--seconds S]

The others' packages don't agree with mlim's, so they live apart, and PYTHON is theirs:

    python -m venv /tmp/rivals && /tmp/rivals/bin/pip install -r benchmarks/rivals.txt

COUNT (1,000) drawings and as many photographs of half a megapixel are made in FOLDER (loader_pictures.py). From these
the images stage makes our shards; the shards' pictures are also unpacked as files, so that "resized" means the very
same bytes for all. Each loader (loader_ours.py, rivals/run.py) runs in a process of its own, for both kinds of
pictures, both as they are and resized; it hands over batches of 64 uint8 tensors (3, 224, 224): cropped to 0.6 to 1
of the area, flipped, brightness, contrast and saturation changed by 0.9 to 1.1. Rivals have as many workers as serves
them best of 1, 2 and 3: that is found first and kept in FOLDER/workers.json. Rounds are interleaved, so that a slow
quarter of an hour hits all; rivals that reach less than half of the best rival are left out of the later ones.

Columns: samples a second from the second pass over the pictures on (median and range of the rounds); the most memory
that all its processes had at once, shared pages once (PSS), what of that isn't pages of files, and with shared pages
for each (RSS); seconds from opening to the first batch; bytes on disk. `bound`: the same calls in two bare threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, product
from pathlib import Path
from statistics import median

from loader_pictures import make_originals, make_shards, unpack

HERE = Path(__file__).parent
RIVALS = {
    "pillow": "DataLoader, files, Pillow + torchvision v2",
    "datasets": "Hugging Face datasets, Image feature",
    "dali": "DALI on the CPU, files",
    "opencv": "DataLoader, files, libjpeg-turbo + OpenCV",
    "webdataset": "WebDataset, the same decode",
    "litdata": "LitData, the same decode",
    "mosaic": "MosaicML streaming, the same decode",
}
OWN_FORMAT = ("webdataset", "litdata", "mosaic", "datasets")
KINDS = ("drawings", "photographs")
PICTURES = ("original", "resized")
KEPT = 512 * 2**20
ORIGINALS, RESIZED, BOUND = 3.3, 1.3, 0.85  # what is to be shown


@dataclass
class Runner:
    """A loader on one set of pictures, and what was measured of it."""

    label: str
    pictures: str  # original, resized
    command: list[str]
    disk: Path
    rates: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=lambda: [0, 0, 0])  # bytes: PSS, of it not files, RSS
    note: str = ""

    @property
    def rate(self) -> float:
        return median(self.rates) if self.rates else 0.0

    def run(self, seconds: float) -> None:
        if self.note:
            return
        found, memory = measured([part.replace("SECONDS", str(seconds)) for part in self.command])
        if isinstance(found, str):
            self.note = found
            return
        self.rates.append(found["rate"])
        self.firsts.append(found["first"])
        self.memory = list(map(max, self.memory, memory))

    def line(self) -> str:
        if self.note:
            return f"{self.label:46} {self.note}"
        low, high = min(self.rates), max(self.rates)
        pss, own, rss = (f"{m / 2**20:7,.0f}" for m in self.memory)
        size = sum(path.stat().st_size for path in self.disk.rglob("*") if path.is_file()) / 1e6
        first = f"{median(self.firsts):6.2f}" if median(self.firsts) else f"{'':6}"
        return f"{self.label:46} {self.rate:8,.0f} ({low:,.0f}–{high:,.0f})  {pss} {own} {rss}  {first}  {size:7,.0f}"


def measured(command: Sequence[str]) -> tuple[dict[str, float] | str, list[int]]:
    """The line of JSON that a process prints, or what went wrong; the most memory that it and its children had."""
    out = subprocess.PIPE
    env = os.environ | {"PYTHONPATH": str(HERE.parent), "PYTHONWARNINGS": "ignore"}
    run = subprocess.Popen(command, stdout=out, stderr=out, text=True, env=env)
    most, ends = [0, 0, 0], time.monotonic() + 120
    while run.poll() is None and time.monotonic() < ends:
        most = list(map(max, most, held(run.pid)))
        time.sleep(0.2)
    run.kill()
    said, wrong = run.communicate()
    if run.returncode:
        return (wrong.strip().splitlines() or ["took more than two minutes"])[-1], most
    found: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    return found, most


def held(pid: int) -> list[int]:
    """Bytes of a process and its children: PSS, of that what isn't pages of files, RSS."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [0, 0, 0]
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    own = [sizes["Pss"], sizes["Pss"] - sizes.get("Pss_File", 0), sizes["Rss"]]
    return [sum(parts) for parts in zip(own, *(held(int(child)) for child in children), strict=True)]


def prepare(folder: Path, count: int, rivals: str | None) -> None:
    for kind in KINDS:
        place = folder / kind
        make_originals(place / "original", kind, count)
        for encoding in ("jpeg", "raw"):
            make_shards(place / "original", place / f"shards-{encoding}", encoding, place / "work")
        if not (place / "resized").exists():
            unpack(place / "shards-jpeg", place / "resized")
        for name, pictures in product(OWN_FORMAT if rivals else (), PICTURES):
            own = place / f"{pictures}-{name}"
            if not own.exists():  # what fails is told when the loader fails
                made = rival(rivals or "", name, "prepare", place / pictures)
                subprocess.run(made, capture_output=True, check=False)


def rival(python: str, name: str, what: str, pictures: Path) -> list[str]:
    return [python, str(HERE / "rivals" / "run.py"), name, what, str(pictures), f"{pictures}-{name}"]


def theirs(place: Path, python: str | None, workers: Mapping[str, int]) -> list[Runner]:
    made = []
    for (name, label), pictures in product(RIVALS.items(), PICTURES):
        own = place / f"{pictures}-{name}"
        command = rival(python or "", name, "measure", place / pictures)
        command += ["SECONDS", str(workers.get(f"{name} {pictures}", 2))]
        note = "" if python else "not run: give --rivals PYTHON"
        made.append(Runner(label, pictures, command, own if own.exists() else place / pictures, note=note))
    return made


def ours(place: Path) -> list[Runner]:
    jpeg, raw = place / "shards-jpeg", place / "shards-raw"
    code = [sys.executable, str(HERE / "loader_ours.py")]
    return [
        Runner("mlim", "resized", [*code, "loader", str(jpeg), "SECONDS", "0"], jpeg),
        Runner("bound of mlim", "resized", [*code, "bound", str(jpeg), "SECONDS"], jpeg),
        Runner("mlim, encoding raw", "resized", [*code, "loader", str(raw), "SECONDS", "0"], raw),
        Runner("bound of mlim, encoding raw", "resized", [*code, "bound", str(raw), "SECONDS"], raw),
        Runner(
            "mlim, decoded pictures kept in memory", "resized", [*code, "loader", str(jpeg), "SECONDS", str(KEPT)], jpeg
        ),
    ]


def best_workers(folder: Path, python: str) -> dict[str, int]:
    """As many workers (of DALI: threads) as each rival does most with; found on drawings, once."""
    known = folder / "workers.json"
    if not known.exists():
        names = [f"{name} {pictures}" for name, pictures in product(RIVALS, PICTURES)]
        tried = {n: theirs(folder / KINDS[0], python, dict.fromkeys(names, n)) for n in (2, 1, 3)}
        for two in tried[2]:
            two.run(1.5)
        near = [two in contenders(tried[2]) for two in tried[2]]
        for one in chain(*(compress(tried[n], near) for n in (1, 3))):
            one.run(1.5)
        best = {names[i]: max(tried, key=lambda n: tried[n][i].rate) for i in range(len(names))}
        known.write_text(json.dumps(best))
    found: dict[str, int] = json.loads(known.read_text())
    return found


def contenders(made: list[Runner]) -> list[Runner]:
    """All, at first; then without rivals that have shown less than half of the best on the same pictures."""
    best = {p: max(one.rate for one in made if one.pictures == p and one.label in RIVALS.values()) for p in PICTURES}
    return [one for one in made if one.label not in RIVALS.values() or one.rate >= best[one.pictures] / 2]


def show(kind: str, made: list[Runner]) -> None:
    print(f"\n{kind}\n{'':46} samples/s (range)      PSS own RSS MiB  first s  disk MB")
    for pictures in PICTURES:
        print(f"-- {pictures}")
        for one in sorted((one for one in made if one.pictures == pictures), key=lambda one: one.rate):
            print(one.line())
    rate = {one.label: one.rate for one in made if one.pictures == "resized"}
    for pictures, bar in (("original", ORIGINALS), ("resized", RESIZED)):
        others = [one for one in made if one.pictures == pictures and one.label in RIVALS.values() and one.rates]
        if others:
            best = max(others, key=lambda one: one.rate)
            verdict(f"mlim / the best on {pictures} pictures ({best.label})", rate["mlim"] / best.rate, bar)
    verdict("mlim / bound of its format", rate["mlim"] / rate["bound of mlim"], BOUND)
    verdict("mlim raw / bound of its format", rate["mlim, encoding raw"] / rate["bound of mlim, encoding raw"], BOUND)


def verdict(what: str, found: float, bar: float) -> None:
    print(f"{'holds' if found >= bar else 'FAILS':6} {found:5.2f} (to be shown: {bar})  {what}", flush=True)


def show_flat(folder: Path, epochs: int) -> None:
    """Under `ulimit -n 256`, with more shards than that."""
    place = folder / KINDS[0]
    make_shards(place / "original", place / "shards-many", "jpeg", place / "work", shard_pictures=4)
    code = [sys.executable, str(HERE / "loader_ours.py"), "flat", str(place / "shards-many"), str(epochs)]
    limits = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))  # noqa: E731
    env = os.environ | {"PYTHONPATH": str(HERE.parent)}
    out = subprocess.run(code, preexec_fn=limits, capture_output=True, text=True, env=env, check=True).stdout
    found = json.loads(out)
    print(f"\n{epochs} epochs of {found['shards']} shards under `ulimit -n 256`, after each")
    print(f"  PSS MiB           {' '.join(map(str, found['memory']))}")
    print(f"  file descriptors  {' '.join(map(str, found['files']))}")
    half = epochs // 2
    grown = found["memory"][-1] / found["memory"][half - 1] - 1
    more = max(found["files"]) - found["files"][0]
    ok = grown < 0.02 and not more
    verb = "holds" if ok else "FAILS"
    print(f"{verb:6} memory after epoch {epochs}: {grown:+.1%} of that after epoch {half}; descriptors: {more:+}")


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("folder", nargs="?", type=Path, default=Path("/tmp/mlim-loader"))
    told.add_argument("--rivals", help="the Python of the environment that rivals are installed in")
    told.add_argument("--quick", action="store_true", help="one round of a second and a half, drawings only")
    told.add_argument("--flat", action="store_true", help="memory and descriptors over 20 epochs, nothing else")
    told.add_argument("--count", type=int, default=1000)
    told.add_argument("--rounds", type=int, default=3)
    told.add_argument("--seconds", type=float, default=2.0)
    given = told.parse_args()
    global KINDS
    if given.quick:
        KINDS, given.rounds, given.seconds = KINDS[:1], 1, 1.5
    began = time.monotonic()
    prepare(given.folder, given.count, given.rivals)
    print(f"prepared in {time.monotonic() - began:.0f} s", flush=True)
    if not given.flat:
        workers = best_workers(given.folder, given.rivals) if given.rivals and not given.quick else {}
        made = {kind: theirs(given.folder / kind, given.rivals, workers) + ours(given.folder / kind) for kind in KINDS}
        for _ in range(given.rounds):
            for one in chain(*(contenders(all_of) for all_of in made.values())):
                one.run(given.seconds)
        for kind in KINDS:
            show(kind, made[kind])
    show_flat(given.folder, 20)
    print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
