"""The stage: nothing vanishes, damage has its reason, and the bytes depend on the pictures alone."""

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.images.conftest import Shop, encoded, plaid
from workbench.images import build
from workbench.images import store as store_module
from workbench.images.entry import Maker
from workbench.images.made import Made
from workbench.images.shard import Shards
from workbench.recipe.schema import Catalog, Feed, Images

SMALL = Images(side=16, shard_pictures=10)
Make = Callable[..., Shop]


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def sixty_four() -> dict[str, bytes]:
    return {f"{i:02}.jpg": encoded(plaid(24, 20, i), "JPEG") for i in range(64)}


def test_five_damages_of_sixty_four(shop: Make) -> None:
    pictures = sixty_four()
    names = list(pictures)
    pictures["03.jpg"] = pictures["03.jpg"][: int(len(pictures["03.jpg"]) * 0.6)]
    pictures["17.jpg"] = b""
    pictures["31.jpg"] = b"this is a text file\n"
    del pictures["40.jpg"]
    pictures["63.jpg"] = b"<!DOCTYPE html>\n<html><title>Not found</title></html>"
    out, summary = shop(pictures, names).run(SMALL)
    reasons = {
        "truncated JPEG: its end is missing": 1,
        "zero bytes": 1,
        "a text file, not a picture": 1,
        "no such file": 1,
        "a web page, not a picture": 1,
    }
    assert (summary["listings"], summary["present"], summary["absent"], summary["broken"]) == (64, 59, 1, 4)
    assert summary["reasons"] == reasons
    table = pl.read_csv(out / "pictures.csv")
    assert table.columns == ["row", "id", "order", "picture", "state", "reason"]
    assert table["row"].to_list() == [3, 17, 31, 40, 63] and set(table["reason"]) == set(reasons)
    shards = Shards(out)
    assert len(shards) == 64 and shards.usable.sum() == 59
    with pytest.raises(KeyError):
        shards.bytes(3)


def test_lossless_when_small_and_index_tells_the_source(shop: Make) -> None:
    pictures = {"a.png": encoded(plaid()), "b.png": encoded(plaid(32, 8))}
    out, summary = shop(pictures, ["b.png", None, "a.png", "a.png"]).run(SMALL)
    assert summary["encoding"] == "png" and summary["reasons"] == {"no picture is named": 1}
    shards = Shards(out)
    with Image.open(io.BytesIO(shards.bytes(2))) as image:
        assert (np.asarray(image) == np.asarray(plaid())).all()
    assert shards.bytes(2) == shards.bytes(3)  # one file, two listings
    index = pl.read_parquet(out / "index.parquet")
    assert index["width"].to_list() == [32, None, 16, 16] and index["height"].to_list() == [8, None, 16, 16]
    assert index["sha256"][2] == hashlib.sha256(encoded(plaid())).hexdigest()


def test_jpeg_above_96_pixels_without_chroma_subsampling(shop: Make) -> None:
    out, summary = shop({"a.png": encoded(plaid(128, 128))}).run(Images(side=128))
    assert summary["encoding"] == "jpeg"
    with Image.open(io.BytesIO(Shards(out).bytes(0))) as image:
        assert image.format == "JPEG" and [layer[1:3] for layer in image.layer]  # type: ignore[attr-defined] == [(1, 1)] * 3


def test_bytes_do_not_depend_on_threads_or_runs(shop: Make) -> None:
    one = shop(sixty_four())
    first = digests(one.run(SMALL, "one", threads=1)[0])
    assert first == digests(one.run(SMALL, "two", threads=2)[0])
    assert set(first) == {*(f"shard-{i:05}.bin" for i in range(7)), "index.parquet", "pictures.csv", "shards.json"}


@pytest.mark.parametrize("after", [0, 7, 25, 63])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    shop: Make, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    ours = shop(sixty_four())
    whole, summary = ours.run(SMALL, "whole")
    real, decoded, most = Maker.picture, [], after

    def dying(self: Maker, feed: int, name: str) -> Made:
        decoded.append(name)
        if len(decoded) > most:
            raise KeyboardInterrupt
        return real(self, feed, name)

    monkeypatch.setattr(Maker, "picture", dying)
    with pytest.raises(KeyboardInterrupt):
        ours.run(SMALL, "killed")
    decoded, most = [], 64
    killed, again = ours.run(SMALL, "killed")
    assert digests(killed) == digests(whole) and again == summary
    assert len(decoded) == 64 - after // 10 * 10  # complete shards are not made again


def test_a_file_that_a_lost_machine_left_empty_is_made_again(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = shop(sixty_four())
    whole, _ = ours.run(SMALL, "whole")
    monkeypatch.setattr(store_module, "join_index", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ours.run(SMALL, "killed")
    monkeypatch.undo()
    (piece,) = whole.with_name("killed").glob("shard-00003.parquet")
    piece.write_bytes(b"")
    assert digests(ours.run(SMALL, "killed")[0]) == digests(whole)


def test_killed_after_the_last_shard(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = shop(sixty_four())
    whole, _ = ours.run(SMALL, "whole")
    monkeypatch.setattr(store_module, "_warn_of_lost_feeds", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ours.run(SMALL, "killed")
    monkeypatch.undo()
    assert digests(ours.run(SMALL, "killed")[0]) == digests(whole)


def test_a_feed_whose_pictures_are_all_elsewhere_is_warned_of(shop: Make) -> None:
    ours = shop({}, ["x/1.png", "x/2.png"])
    _, summary = ours.run(SMALL)
    assert summary["absent"] == 2
    text = ours.console.export_text()
    assert "none of the 2 pictures of catalog.feeds.0 is in" in text and str(ours.place) in text and "x/1.png" in text


def test_no_pictures_at_all(shop: Make) -> None:
    out, summary = shop({}, [None, None]).run(SMALL)
    assert summary["present"] == 0 and summary["bytes"] == 0 and not Shards(out).usable.any()


def test_planning_stays_light() -> None:
    code = "import sys, workbench.images.build; print({'PIL', 'polars', 'numpy', 'torch'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_key_holds_the_knobs_and_the_pictures_alone() -> None:
    feed = Feed(path=Path("a.csv"), pictures=Path("a.zip"))
    stage = build.stage(SMALL, Catalog(feeds=(feed,)), {"catalog.feeds.0.pictures": "P"})
    assert stage.sources == {"catalog.feeds.0.pictures": "P"} and stage.needs == ("ingest",)
    assert stage.section["images"]["side"] == 16 and "a.zip" not in str(stage.section)


GOLDEN = {5: "85d08d802b3fa760"}  # version of the stage -> digest of stored pixels: other bytes need another version


def test_golden_pixels(shop: Make) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {
        "same.png": encoded(plaid()),
        "wide.png": encoded(plaid(40, 24), exif=turned),
        "small.png": encoded(plaid(5, 7)),
        "clear.png": encoded(Image.new("RGBA", (20, 20), (10, 200, 30, 100))),
    }
    shards = Shards(shop(pictures).run(Images(side=16, background="#ffeedd"))[0])
    pixels = b"".join(shards.image(row).tobytes() for row in range(4))
    assert hashlib.sha256(pixels).hexdigest()[:16] == GOLDEN[build.VERSION]
