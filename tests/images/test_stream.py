"""Shards read from an object store, held against the same shards on disk."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.bucket import S3
from workbench.artifacts import bucket as buckets
from workbench.artifacts import kept as kept_files
from workbench.artifacts.bucket import Bucket
from workbench.errors import ArtifactError, RecipeError
from workbench.images import stream
from workbench.images.shard import shard_name
from workbench.images.stream import Streamed

SIZE = 10_000


class Counting(Bucket):
    """Counts how often each shard was fetched."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.fetched: Counter[str] = Counter()

    def read_into(self, out, name, size, sha256):
        super().read_into(out, name, size, sha256)
        self.fetched[name] += 1


def shard(number: int) -> bytes:
    return np.random.default_rng(number).bytes(SIZE - number)


def files_of(count: int) -> dict[str, dict[str, int | str]]:
    shards = {shard_name(n): shard(n) for n in range(count)}
    return {name: {"bytes": len(s), "sha256": hashlib.sha256(s).hexdigest()} for name, s in shards.items()}


def put(url: str, count: int) -> None:
    for number in range(count):
        Bucket(url).write(shard_name(number), shard(number))


def streamed(url: str, folder: Path, count: int = 8, limit: int = 3 * SIZE) -> Streamed:
    return Streamed(Counting(url), files_of(count), folder, limit)


def fetched(shards: Streamed) -> Counter[str]:
    bucket = shards._bucket
    assert isinstance(bucket, Counting)
    return bucket.fetched


def kept(folder: Path) -> int:
    """Bytes that shards take on the disk, those on their way at their full size."""
    sizes: dict[str, int] = {}
    with kept_files._hold(folder / "lock"):
        for entry in os.scandir(folder):
            name, _, kind = entry.name.partition(".")
            if len(name) == 64 and kind in ("", "part"):
                with suppress(FileNotFoundError):  # it has just come whole, under its other name
                    sizes[name] = max(entry.stat().st_size, sizes.get(name, 0))
    return sum(sizes.values())


def until(true: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < 10
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A folder that holds eight shards, as an object store does."""
    put(str(tmp_path / "store"), 8)
    return str(tmp_path / "store")


def test_over_s3_the_bytes_are_those_of_the_shards(s3: S3, tmp_path):
    put(s3.url, 5)
    shards = streamed(s3.url, tmp_path / "kept", 5)
    for number in (0, 4, 1, 0, 2, 3, 4):
        assert bytes(shards.shard(number)) == shard(number)
    again = streamed(s3.url, tmp_path / "kept", 5)  # the next run
    for number in (2, 3, 4):
        assert bytes(again.shard(number)) == shard(number)
    assert not fetched(again)


def test_the_limit_is_kept_while_threads_read_at_random(store, tmp_path):
    shards = streamed(store, tmp_path / "kept")
    done, most = threading.Event(), [0]

    def read(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(40):
            number = draw.randrange(8)
            if draw.random() < 0.3:
                shards.want([draw.randrange(8) for _ in range(3)])
            view = shards.shard(number)
            assert bytes(view) == shard(number)

    def watch() -> None:
        while not done.is_set():
            most[0] = max(most[0], kept(tmp_path / "kept"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    failures: list[object] = []
    threading.excepthook = lambda args: failures.append(args.exc_value)
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    threading.excepthook = threading.__excepthook__
    done.set()
    watcher.join()
    assert not failures
    assert SIZE < most[0] <= 3 * SIZE


def test_what_is_deleted_stays_readable_for_who_holds_it(store, tmp_path):
    shards = streamed(store, tmp_path / "kept", limit=SIZE)
    held = [shards.shard(number)[5:] for number in range(8)]
    assert kept(tmp_path / "kept") <= SIZE
    assert [bytes(view) for view in held] == [shard(number)[5:] for number in range(8)]


def test_wanted_shards_are_fetched_ahead_in_their_order_and_none_of_them_is_deleted(store, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "THREADS", 1)
    monkeypatch.setattr(kept_files, "GRACE", 0)
    shards = streamed(store, tmp_path / "kept")
    shards.want([5, 2, 7, 1])
    until(lambda: len(fetched(shards)) == 3)
    assert list(fetched(shards)) == [shard_name(n) for n in (5, 2, 7)]  # no room for 1
    shards.want([2, 7, 1])  # 5 isn't wanted any more
    until(lambda: len(fetched(shards)) == 4)
    for number in (2, 7, 1):
        assert bytes(shards.shard(number)) == shard(number)
    assert max(fetched(shards).values()) == 1
    shards.want([0, 1, 2])
    until(lambda: shard_name(0) in fetched(shards))
    shards.shard(1), shards.shard(2)
    assert sum(fetched(shards).values()) == 5  # 7 had to go


def test_the_one_wanted_longest_ago_goes_first(store, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_files, "GRACE", 0)
    shards = streamed(store, tmp_path / "kept")
    for wanted in ([3], [1], [6], []):
        shards.want(wanted)
        until(lambda: fetched(shards).keys() >= {shard_name(n) for n in wanted})  # noqa: B023
        time.sleep(0.02)
    shards.shard(0)
    names = {shards._name(n): n for n in range(8)}
    assert {names[p.name] for p in (tmp_path / "kept").iterdir() if p.name in names} == {1, 6, 0}


def test_a_limit_below_one_shard_is_refused(store, tmp_path):
    with pytest.raises(RecipeError, match=rf"runtime.remote_bytes: {SIZE - 1}; a shard of .* takes {SIZE}"):
        streamed(store, tmp_path / "kept", limit=SIZE - 1)


def test_a_lower_limit_holds_from_the_start(store, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_files, "GRACE", 0)
    shards = streamed(store, tmp_path / "kept")
    for number in range(3):
        shards.shard(number)
    del shards
    streamed(store, tmp_path / "kept", limit=SIZE)
    assert kept(tmp_path / "kept") <= SIZE


def test_a_file_damaged_on_disk_is_fetched_again(store, tmp_path):
    first = streamed(store, tmp_path / "kept")
    first.shard(0), first.shard(1)
    changed, cut = (tmp_path / "kept" / first._name(n) for n in (0, 1))
    data = bytearray(changed.read_bytes())
    data[77] ^= 1
    changed.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:50])
    again = streamed(store, tmp_path / "kept")
    assert bytes(again.shard(0)) == shard(0)
    assert bytes(again.shard(1)) == shard(1)
    assert sum(fetched(again).values()) == 2


@pytest.mark.parametrize("damage", [b"", b"x" * (SIZE // 2), b"x" * SIZE, b"x" * (SIZE + 1)])
def test_a_shard_that_is_damaged_in_the_store_is_refused(s3: S3, tmp_path, damage, monkeypatch):
    monkeypatch.setattr(buckets, "CHUNK", SIZE // 2)
    put(s3.url, 1)
    Bucket(s3.url).write(shard_name(0), damage)
    with pytest.raises(ArtifactError, match=r"shard-00000.bin: 3 times its bytes were not those of the manifest"):
        streamed(s3.url, tmp_path / "kept", 1).shard(0)
    assert kept(tmp_path / "kept") == 0


def test_a_shard_that_came_wrong_once_is_fetched_again(store, tmp_path, monkeypatch):
    real, calls = Bucket.read, []

    def torn(self, name, start=None, end=None):
        calls.append(name)
        data = real(self, name, start, end)
        return data[:100] if len(calls) == 1 else bytes(len(data)) if len(calls) == 2 else data

    monkeypatch.setattr(Bucket, "read", torn)
    assert bytes(streamed(store, tmp_path / "kept").shard(3)) == shard(3)
    assert len(calls) == 3


def test_a_missing_shard_is_told(s3: S3, tmp_path):
    put(s3.url, 2)
    shards = streamed(s3.url, tmp_path / "kept", 3)
    shards.want([2, 1])
    with pytest.raises(ArtifactError, match=r"shop/mlim/shard-00002.bin: is not there any more; push the recipe again"):
        shards.shard(2)
    assert bytes(shards.shard(1)) == shard(1)


def test_a_server_that_dies_midway_and_comes_back(s3: S3, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "CHUNK", 3000)
    put(s3.url, 6)
    shards = streamed(s3.url, tmp_path / "kept", 6, limit=6 * SIZE)
    assert bytes(shards.shard(0)) == shard(0)
    s3.stop()
    shards.want(range(6))
    threading.Timer(0.5, s3.start).start()
    for number in range(6):
        assert bytes(shards.shard(number)) == shard(number)


def test_a_server_that_stays_away(s3: S3, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "LATE", 0.3)
    put(s3.url, 2)
    shards = streamed(s3.url, tmp_path / "kept", 2)
    shards.shard(0)
    s3.stop()
    with pytest.raises(ArtifactError, match=r"shard-00001.bin: no answer for .* seconds .*run the same command"):
        shards.shard(1)


READER = """
import sys
from pathlib import Path
from tests.images.test_stream import *
kept_files.GRACE = 0
shards = streamed(sys.argv[1], Path(sys.argv[2]), limit=int(sys.argv[3]))
for step in range(40):
    number = random.Random(step // 4 if len(sys.argv) < 5 else int(sys.argv[4]) + step).randrange(8)
    shards.want([number, (number + 1) % 8])
    assert bytes(shards.shard(number)) == shard(number)
    print(number, sum(fetched(shards).values()), flush=True)
"""


def process(*args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", READER, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_two_processes_share_the_folder(store, tmp_path):
    folder = tmp_path / "kept"
    readers = [process(store, folder, 2 * SIZE, seed) for seed in (1, 2)]  # too little for both: they take turns
    while None in [reader.poll() for reader in readers]:
        time.sleep(0.01)
        assert not (folder / "lock").exists() or kept(folder) <= 2 * SIZE
    assert [r.returncode for r in readers] == [0, 0]


def test_a_shard_is_fetched_by_one_of_two_processes(store, tmp_path):
    other, shards = process(store, tmp_path / "kept", 8 * SIZE), streamed(store, tmp_path / "kept", limit=8 * SIZE)
    while other.poll() is None:
        shards.want(range(8))
        shards.shard(random.randrange(8))
    assert other.stdout and int(other.stdout.read().split()[-1]) + sum(fetched(shards).values()) == 8


def test_a_killed_process_leaves_nothing_broken(store, tmp_path):
    folder = tmp_path / "kept"
    for _ in range(2):
        reader = process(store, folder, 3 * SIZE, 1)
        assert reader.stdout
        reader.stdout.readline()
        os.kill(reader.pid, signal.SIGKILL)
        reader.wait()
    name = files_of(8)[shard_name(6)]["sha256"]
    (folder / f"{name}.part").write_bytes(b"half" * 100)  # as one killed while it fetched leaves it
    shards = streamed(store, folder)
    for number in range(8):
        assert bytes(shards.shard(number)) == shard(number)
    assert kept(folder) <= 3 * SIZE
    shards._kept.make_room(shards, SIZE, forced=True)
    assert not list(folder.glob("*.part")) and len(list(folder.glob("*.wants"))) == 1
    del shards
    assert not list(folder.glob("*.wants"))


def test_no_descriptor_and_no_thread_stays(store, tmp_path):
    shards = streamed(store, tmp_path / "kept", limit=8 * SIZE)
    before = len(os.listdir("/proc/self/fd"))
    shards.want(range(8))
    views = [shards.shard(n) for n in range(8)]
    until(lambda: not any(t.name == "shards" for t in threading.enumerate()))
    assert len(os.listdir("/proc/self/fd")) == before and len(views) == 8


def downloads(store: str, folder: Path, window: int | None, epochs: int = 4) -> float:
    """Downloads of each shard in an epoch of training, by the calls that training makes."""
    from workbench.batches.order import Order  # not in the processes below
    from workbench.recipe.schema import Sampling

    sampling = Sampling(window=window)
    of_row = np.repeat(np.arange(8), 50)
    order = Order(count=400, batch_size=20, epochs=epochs, seed=0, sampling=sampling, shards=of_row)
    shards = streamed(store, folder, limit=5 * SIZE)
    for step in range(order.steps):
        shards.want(list(dict.fromkeys(of_row[order.soon(step)].tolist())))
        for number in of_row[order.at(step)[1]]:
            shards.shard(int(number))
    return sum(fetched(shards).values()) / 8 / epochs


def test_with_windows_each_shard_is_fetched_about_once_an_epoch(store, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_files, "GRACE", 0)
    windows = downloads(store, tmp_path / "windows", 2)
    everywhere = downloads(store, tmp_path / "everywhere", None)
    assert windows <= 1.1
    assert everywhere > 5  # what the note at the start of a training is about
