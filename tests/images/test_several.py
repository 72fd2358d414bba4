"""Several pictures a listing, next week's feed, and what is found out later."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.images.conftest import Shop, encoded, plaid
from tests.images.test_build import digests
from workbench.artifacts.key import Digests
from workbench.images import made as made_module
from workbench.images.augment import draw_pictures, identity
from workbench.images.decode_cpu import CpuDecoder
from workbench.images.origin import open_pictures
from workbench.images.picture import Square
from workbench.images.shard import Shards
from workbench.recipe.schema import Images

Make = Callable[..., Shop]
PICTURES = {f"{c}.png": encoded(Image.new("RGB", (16, 16), c)) for c in ("red", "lime", "blue")} | {
    "cut.png": b"\x89PNG"
}
NAMES = [
    ("red.png", "lime.png"),
    ("cut.png", "gone.png", "blue.png", "red.png"),
    (),
    ("gone.png", "cut.png"),
    "lime.png",
]


def colours(shards: Shards, row: int) -> list[str]:
    names = {(255, 0, 0): "red", (0, 255, 0): "lime", (0, 0, 255): "blue"}
    images = [Image.open(io.BytesIO(shards.bytes(row, k))) for k in range(shards.count(row))]
    return [names[image.getpixel((0, 0))] for image in images]  # type: ignore[index]


def test_the_first_good_picture_is_used(shop: Make) -> None:
    out, summary = shop(PICTURES, NAMES).run(Images(side=16, use="main", shard_pictures=2))
    shards = Shards(out)
    assert [colours(shards, row) for row in range(5)] == [["red"], ["blue"], [], [], ["lime"]]
    index = pl.read_parquet(out / "index.parquet")
    assert list(index.select("row", "order", "state").iter_rows()) == [
        *((0, 0, "present"), (1, 0, "broken"), (1, 1, "absent"), (1, 2, "present")),
        *((2, 0, "absent"), (3, 0, "absent"), (3, 1, "broken"), (4, 0, "present")),
    ]
    states = {"listings": 5, "present": 3, "absent": 2, "broken": 0, "another than the first used": 1, "pictures": 3}
    assert {name: summary[name] for name in states} == states and summary["a single colour"] == 3
    without = pl.read_csv(out / "pictures.csv")
    assert list(without.select("row", "order", "picture").iter_rows()) == [
        *((1, 0, "cut.png"), (1, 1, "gone.png"), (2, 0, None), (3, 0, "gone.png"), (3, 1, "cut.png"))
    ]


def test_all_pictures_by_number(shop: Make) -> None:
    ours = shop(PICTURES, NAMES)
    out, summary = ours.run(Images(side=16, use="all"))
    shards = Shards(out)
    assert [colours(shards, row) for row in range(5)] == [["red", "lime"], ["blue", "red"], [], [], ["lime"]]
    assert shards.counts.tolist() == [2, 2, 0, 0, 1] and summary["pictures"] == 5
    with pytest.raises(KeyError):
        shards.bytes(4, 1)
    decoder = CpuDecoder(shards, 16, threads=1)
    seen = decoder.start(np.array([0, 0, 1]), identity(3), np.array([0, 1, 1]))()[:, :, 0, 0]
    assert seen.tolist() == [[255, 0, 0], [0, 255, 0], [255, 0, 0]]
    assert decoder.start(np.array([1]), identity(1))()[0, :, 0, 0].tolist() == [0, 0, 255]


def test_a_placeholder_counts_as_none(shop: Make, tmp_path: Path) -> None:
    out, _ = shop(PICTURES, NAMES).run(Images(side=16, use="all"))
    later = {"row": [0, 4], "order": [0, 0], "state": ["placeholder"] * 2}
    pl.DataFrame(later, {"row": pl.UInt32, "order": pl.UInt32, "state": pl.String}).write_parquet(
        tmp_path / "p.parquet"
    )
    shards = Shards(out, tmp_path / "p.parquet")
    assert [colours(shards, row) for row in range(5)] == [["lime"], ["blue", "red"], [], [], []]
    assert shards.usable.tolist() == [True, True, False, False, False]


def test_which_picture_is_drawn_from_seed_epoch_and_row() -> None:
    rows, counts = np.arange(3000), np.tile([1, 2, 5], 1000)
    picks = draw_pictures(7, 1, rows, counts)
    assert (picks < counts).all() and (picks >= 0).all()
    assert (draw_pictures(7, 1, rows[900:], counts[900:]) == picks[900:]).all()
    for other in (draw_pictures(7, 2, rows, counts), draw_pictures(8, 1, rows, counts)):
        assert 0.55 < (other != picks)[counts > 1].mean() < 0.75  # 1/2 of two, 4/5 of five
    assert np.abs(np.bincount(picks[counts == 5]) - 200).max() < 50


def week(i: int) -> bytes:
    return encoded(plaid(24, 20, i), "JPEG")


def test_next_week_only_what_changed_is_decoded(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = shop({f"{i:02}.jpg": week(i) for i in range(50)} | {"cut.jpg": week(3)[:300]})
    small = Images(side=16, shard_pictures=10)
    first, _ = ours.run(small, "first")
    (ours.place / "07.jpg").write_bytes(week(107))
    (ours.place / "08.jpg").unlink()
    (ours.place / "new.jpg").write_bytes(week(200))
    ours.name(["new.jpg", *(f"{i:02}.jpg" for i in range(49, -1, -1)), "cut.jpg", ("08.jpg", "09.jpg")])
    whole, full = ours.run(small, "whole")
    decoded: list[bytes] = []
    real = made_module.square

    def counted(data: bytes, images: Images) -> Square:
        decoded.append(data)
        return real(data, images)

    monkeypatch.setattr(made_module, "square", counted)
    again, summary = ours.run(small, "again", earlier=first)
    assert sorted(decoded) == sorted([week(107), week(200), week(3)[:300]])
    assert digests(again) == digests(whole) and summary == full
    assert digests(ours.run(small, "third", threads=2, earlier=whole)[0]) == digests(whole)


def test_files_that_the_plan_knows_are_not_read_again(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = shop({f"{i:02}.jpg": week(i) for i in range(12)})
    first, _ = ours.run(Images(side=16), "first")
    ours.name(["00.jpg", "01.JPG", *(f"{i:02}.jpg" for i in range(2, 12))])
    (ours.place / "07.jpg").write_bytes(week(107))
    plan = Digests(ours.root / "memory")
    plan.of(ours.place)
    whole, _ = ours.run(Images(side=16), "whole")
    folder, read = type(open_pictures(ours.place, "")), list[str]()
    real = folder.read
    monkeypatch.setattr(folder, "read", lambda self, name: read.append(name) or real(self, name))
    again, _ = ours.run(Images(side=16), "again", earlier=first, digests=plan)
    assert read == ["07.jpg"] and digests(again) == digests(whole)


def test_a_damaged_earlier_artifact_lends_nothing(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = shop({f"{i:02}.jpg": week(i) for i in range(12)})
    first, _ = ours.run(Images(side=16), "first")
    whole = digests(first)
    real = Shop.run.__globals__["artifact"]

    def recorded(folder: Path, stage: str) -> object:
        found = real(folder, stage)
        (folder / "shard-00000.bin").write_bytes((folder / "shard-00000.bin").read_bytes()[:-1] + b"?")
        return found

    monkeypatch.setitem(Shop.run.__globals__, "artifact", recorded)
    assert digests(ours.run(Images(side=16), "again", earlier=first)[0]) == whole
