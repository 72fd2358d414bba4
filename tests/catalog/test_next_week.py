"""Next week's duplicates, of a catalog that changes at random week by week: the bytes of a search of everything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from rich.console import Console

from workbench.artifacts.key import key_of
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact, Store
from workbench.catalog.duplicates import bands, looks, pictures, texts
from workbench.catalog.duplicates.again import Search
from workbench.catalog.duplicates.bands import Seen, candidates
from workbench.catalog.duplicates.looks import near_pictures
from workbench.catalog.duplicates.stage import stage
from workbench.images.phash import look
from workbench.recipe.schema import Duplicates, Runtime

WEEKS, LISTINGS = 20, 90
WORDS = [a + b for a in ("ka", "lo", "mi", "ru", "te") for b in ("dan", "fer", "gol", "va")]


def listing(draw: np.random.Generator, number: int) -> dict[str, Any]:
    """One of twelve pictures, cut, lightened or halved, and some words of twenty."""
    base = np.random.default_rng(draw.integers(12)).integers(0, 256, (6, 6, 3), np.uint8)
    picture = Image.fromarray(base).resize((64, 64), Image.Resampling.BICUBIC)
    change = draw.integers(4)
    if change == 1:
        picture = picture.crop((*draw.integers(0, 4, 2).tolist(), *(64 - draw.integers(0, 4, 2)).tolist()))
    elif change == 2:
        picture = picture.point(lambda v: min(255, v + 4 * int(draw.integers(1, 4))))
    elif change == 3:
        picture = picture.resize((40, 40))
    seen = look(picture)
    return {
        **{"id": f"i{number}", "group": f"g{number}", "code": None, "title": " ".join(draw.choice(WORDS, 6))},
        **{"order": 0, "state": "present", "reason": None, "sha256": f"{hash_of(picture):016x}{'0' * 48}"},
        **{"thumb": seen.thumb, "colours": seen.colours},
    }


def hash_of(picture: Image.Image) -> int:
    return int.from_bytes(key_of({"pixels": picture.tobytes().hex()}).encode()[:6], "big")


def artifact(root: Path, week: list[dict[str, Any]], name: str, earlier: Artifact | None, **how: Any) -> Artifact:
    table = pl.DataFrame(week).with_row_index("row").with_columns(pl.col("code", "reason").cast(pl.String))
    store, inputs = Store(root), {}
    for made, file in (("ingest", "items.parquet"), ("images", "index.parquet")):
        (root / f"{made} {name}").mkdir(parents=True)
        table.write_parquet(root / f"{made} {name}" / file)
        size = (root / f"{made} {name}" / file).stat().st_size
        inputs[made] = Artifact(root / f"{made} {name}", made, name, {}, {}, {file: {"bytes": size}})
    ingredients = {"stage": "duplicates", "of": name}
    with store.making("duplicates", key_of(ingredients)) as folder:
        work = Work(folder, inputs, Runtime(), Console(quiet=True), root / "log", earlier, **how)
        return store.commit("duplicates", ingredients, stage(Duplicates()).run(work))


def test_twenty_weeks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (looks, "CROWD", 3),
        (texts, "CROWD", 2),
        (pictures, "NEAREST", 2),
        (looks, "NEAREST", 2),
        (bands, "MANY", 1),
    ):
        monkeypatch.setattr(module, name, value)  # so that a small catalog has crowds
    draw = np.random.default_rng(5)
    week = [listing(draw, i) for i in range(LISTINGS)]
    last = artifact(tmp_path, week, "0", None)
    shared = 0
    for number in range(1, WEEKS + 1):
        for i in draw.choice(len(week), draw.integers(0, 12), replace=False):
            other = listing(draw, number * 1000 + int(i))
            picture = {name: other[name] for name in ("sha256", "thumb", "colours")}
            week[i] |= [{"title": other["title"]}, picture, other][i % 3]
        week = [week[i] for i in draw.permutation(len(week))[: LISTINGS - draw.integers(0, 8)]]
        week += [listing(draw, number * 1000 + 500 + i) for i in range(draw.integers(0, 8))]
        whole = artifact(tmp_path, week, f"{number} whole", None)
        last = artifact(tmp_path, week, str(number), last)
        assert {n: f["sha256"] for n, f in last.files.items()} == {n: f["sha256"] for n, f in whole.files.items()}
        shared += pl.read_parquet(whole.path("picture_pairs.parquet")).height
    assert shared > 20 * LISTINGS


def test_candidates_against_the_rule_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "AT_ONCE", 7)
    monkeypatch.setattr(bands, "LOW", 1)  # keys 0 and 2 have the same bits
    draw = np.random.default_rng(0)
    everything = draw.integers(0, 4, (60, 2, 3)).astype(np.uint32)
    before, after = np.sort(draw.permutation(60)[:40]), np.sort(draw.permutation(60)[:40])

    def yes(asked: np.ndarray[Any, Any], found: np.ndarray[Any, Any], view: int) -> np.ndarray[Any, Any]:
        return (asked + found + view) % 3 > 0

    for crowd in (1, 4, 100):
        pairs = naive(everything[before], crowd, lambda a, b, v: (before[a] + before[b] + v) % 3 > 0)
        wanted = naive(everything[after], crowd, lambda a, b, v: (after[a] + after[b] + v) % 3 > 0)
        now = np.array([int(np.searchsorted(after, x)) if x in after else -1 for x in before])
        both = [(now[a], now[b]) for a, b in sorted(pairs) if now[a] >= 0 and now[b] >= 0]
        left, right = np.array(both, np.int64).reshape(-1, 2).T
        still, new_left, new_right = candidates(
            everything[after],
            crowd,
            lambda a, b, v: yes(after[a], after[b], v),
            Seen(everything[before], now, left, right),
        )
        found = {*zip(left[still], right[still], strict=True), *zip(new_left, new_right, strict=True)}
        assert found == wanted and len(new_left) < len(wanted)


def naive(keys: np.ndarray[Any, Any], crowd: int, likely: Callable[[int, int, int], bool]) -> set[tuple[int, int]]:
    """Bucket by bucket, as the text of bands.py has it."""
    found = set()
    count, views, number = keys.shape
    for band in range(number):
        two = [band, (band + 1) % number]
        for asked in range(count):
            for view in range(views):
                bucket = [b for b in range(count) if keys[b, 0, band] == keys[asked, view, band]]
                if len(bucket) > crowd:
                    bucket = [b for b in bucket if (keys[b, 0, two] == keys[asked, view, two]).all()][:crowd]
                found |= {(min(asked, b), max(asked, b)) for b in bucket if b != asked and likely(asked, b, view)}
    return found


def alike(draw: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Pictures of six things amid white, each a little different; and their colours."""
    kinds = draw.integers(40, 200, (6, 4, 4))[draw.integers(0, 6, count)]
    thumbs = np.full((count, 32, 32), 255, np.uint8)
    thumbs[:, 8:24, 8:24] = (kinds + draw.integers(-40, 40, kinds.shape)).repeat(4, 1).repeat(4, 2)
    return thumbs, thumbs[:, ::4, ::4, None].repeat(3, 3)


def test_of_pictures_that_all_look_alike_the_closest_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are searched or at the end, in one go or week by week: the same."""
    for module in (looks, pictures):
        monkeypatch.setattr(module, "NEAREST", 2)
    draw = np.random.default_rng(2)
    thumbs, colours = alike(draw, 300)
    things, mean = np.arange(300, dtype=np.uint64), pictures.usual(thumbs)

    def found(some: Any, many: int, earlier: Search | None = None) -> Search:
        monkeypatch.setattr(bands, "MANY", many)
        return near_pictures(thumbs[some], colours[some], things[some], mean, earlier)

    every = np.arange(300)
    whole = found(every, 10**6)
    assert found(every, 1).pairs.equals(whole.pairs) and 300 < len(whole.pairs) <= 4 * 300
    last = whole
    for _ in range(5):
        some = np.sort(draw.choice(300, 270, replace=False))
        last = found(some, 1, last)
        assert last.pairs.equals(found(some, 10**6).pairs)
