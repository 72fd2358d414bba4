"""Shards by row: what was written comes back or is refused, from files that nobody holds open."""

import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.images.conftest import Shop, encoded, plaid
from tests.images.test_build import digests
from workbench.errors import ArtifactError
from workbench.images.shard import Local, Shards
from workbench.recipe.schema import Images

Make = Callable[..., Shop]
PICTURES = {f"{i}.png": encoded(plaid(40, 30, i)) for i in range(6)} | {"small.png": encoded(plaid(5, 7))}
NAMES = ["0.png", "small.png", None, ("1.png", "2.png"), "3.png", "4.png", "5.png"]
ENCODINGS = ("jpeg", "png", "raw")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("damage", ["a bit", "cut", "empty", "gone"])
def test_other_bytes_than_were_written_are_refused_by_name(shop: Make, encoding: str, damage: str) -> None:
    out, _ = shop(PICTURES, NAMES).run(Images(side=16, encoding=encoding, shard_pictures=4))
    path = out / "shard-00000.bin"
    good = path.read_bytes()
    bad = {"a bit": good[:-9] + bytes([good[-9] ^ 4]) + good[-8:], "cut": good[:-1], "empty": b"", "gone": b""}
    path.write_bytes(bad[damage])
    if damage == "gone":
        path.unlink()
    shards = Shards(out)
    with pytest.raises(ArtifactError, match=r"shard-00000\.bin: .*; delete .*out and run again") as error:
        shards.bytes(3)
    assert damage not in ("a bit", "cut") or "picture 0 of row 3 is not as it was written" in str(error.value)
    assert shards.image(4).size == (16, 16)  # of another shard


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_index_holds_each_pictures_checksum_and_side(shop: Make, encoding: str) -> None:
    out, _ = shop(PICTURES, NAMES).run(Images(side=16, encoding=encoding, use="all"))
    shards, index = Shards(out), pl.read_parquet(out / "index.parquet").filter(state="present")
    data = [shards.bytes(row, order) for row, order in index.select("row", "order").iter_rows()]
    assert index["crc32"].to_list() == [zlib.crc32(one) for one in data]
    assert index["side"].to_list() == [16, 7, 16, 16, 16, 16, 16]
    assert shards.sides(np.array([1, 2, 3, 0]), np.array([0, 0, 1, 0])).tolist() == [7, 0, 16, 16]
    assert shards.sides(np.array([1, 2])).tolist() == [7, 0]
    assert [shards.image(row).size for row in (1, 6)] == [(7, 7), (16, 16)]


def test_raw_is_the_rows_of_the_square_as_red_green_blue(shop: Make) -> None:
    ours = shop(PICTURES, NAMES)
    raw, summary = ours.run(Images(side=16, encoding="raw"), "raw")
    png, _ = ours.run(Images(side=16, encoding="png"), "png")
    assert summary["bytes"] == 3 * (5 * 16**2 + 7**2) and summary["encoding"] == "raw"
    for row in (0, 1, 3, 4, 5, 6):
        assert bytes(Shards(raw).bytes(row)) == Shards(png).image(row).tobytes() == Shards(raw).image(row).tobytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pictures_taken_over_keep_checksum_and_side(shop: Make, encoding: str) -> None:
    ours = shop(PICTURES, NAMES)
    images = Images(side=16, encoding=encoding, use="all", shard_pictures=3)
    first, _ = ours.run(images, "first")
    (ours.place / "0.png").write_bytes(encoded(plaid(30, 30, 90)))
    ours.name(list(reversed(NAMES)))
    whole, _ = ours.run(images, "whole")
    assert digests(ours.run(images, "after", earlier=first)[0]) == digests(whole)
    shards = Shards(whole)
    assert len([shards.bytes(row, k) for row in range(7) for k in range(shards.count(row))]) == 7


class Asked(Local):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wanted: list[int] = []

    def want(self, numbers: Sequence[int]) -> None:
        self.wanted += numbers


def test_shards_are_wanted_in_order_each_once(shop: Make) -> None:
    out, _ = shop(PICTURES, NAMES).run(Images(side=16, use="all", shard_pictures=2))
    files = Asked(out)
    shards = Shards(out, files=files)
    shards.want(np.array([6, 3, 2, 0, 3, 1]), np.array([0, 1, 0, 0, 0, 0]))
    assert files.wanted == [3, 1, 0]
    shards.want(np.array([2]))
    assert files.wanted == [3, 1, 0]


def test_a_million_listings_take_little_memory(tmp_path: Path) -> None:
    row = np.arange(1_000_000, dtype=np.uint32)
    place = {"shard": row // 4096, "offset": row.astype(np.uint64), "length": row, "crc32": row}
    state = pl.Series(["present", "broken", "present", "present"] * 250_000)
    index = pl.DataFrame({"row": row, "order": row * 0, "state": state, **place, "side": row.astype(np.uint16)})
    index.write_parquet(tmp_path / "index.parquet")
    (tmp_path / "shards.json").write_text('{"side": 16, "encoding": "raw"}')
    shards = Shards(tmp_path)
    arrays = [value for value in vars(shards).values() if isinstance(value, np.ndarray)]
    assert all(array.dtype != object for array in arrays)
    assert sum(array.nbytes for array in arrays) + shards.states.estimated_size() < 40 * len(shards)
    assert shards.states[[0, 1]].to_list() == ["present", "broken"] and shards.counts.sum() == 750_000


FLAT = """
import os, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from tests.images.conftest import Shop
from workbench.images.shard import Shards
from workbench.recipe.schema import Images
root = Path(sys.argv[1])
ours = Shop(root, root / "pictures", ["one.png"] * 270)
out, _ = ours.run(Images(side=16, shard_pictures=1), threads=2)
shards = Shards(out)
for epoch in range(20):
    for row in range(270):
        shards.image(row)
    print(len(os.listdir("/proc/self/fd")))
"""


def test_more_shards_than_descriptors(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").write_bytes(encoded(plaid()))
    command = [sys.executable, "-c", FLAT, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr
    opened = run.stdout.split()
    assert len(list((tmp_path / "out").glob("shard-*.bin"))) == 270
    assert len(opened) == 20 and len(set(opened)) == 1 and int(opened[0]) < 20


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_program_reads_them_as_documented(shop: Make, encoding: str) -> None:
    out, _ = shop(PICTURES, NAMES).run(Images(side=16, encoding=encoding, shard_pictures=3))
    text = (Path(__file__).parents[2] / "docs" / "shards.md").read_text()
    code = re.sub("folder = .*\n", "", text.split("```python\n")[1].split("```")[0])
    seen: dict[int, np.ndarray] = {}
    exec(code + "    seen[row] = pixels\n", {"folder": out, "seen": seen})
    shards = Shards(out)
    assert [*seen] == np.flatnonzero(shards.usable).tolist()
    assert all((np.asarray(shards.image(row)) == pixels).all() for row, pixels in seen.items())
