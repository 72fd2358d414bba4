"""What others read of the shards: the same rows, the same pixels, complete or absent."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import webdataset
from datasets import load_from_disk

from tests.images.conftest import Shop, artifact, encoded, plaid
from tests.images.test_build import digests
from workbench.artifacts.store import Artifact, Away
from workbench.errors import ArtifactError, DataError
from workbench.images import export as module
from workbench.images.export import export
from workbench.images.shard import Shards
from workbench.recipe.schema import Images

Make = Callable[..., Shop]
PICTURES = {f"{i}.jpg": encoded(plaid(24, 20, i), "JPEG", quality=95) for i in range(7)} | {"cut.jpg": b"\xff\xd8\xff"}
NAMES = ["0.jpg", ("1.jpg", "2.jpg"), None, "cut.jpg", "3.jpg", ("cut.jpg", "4.jpg"), "5.jpg", "6.jpg"]
STATES = ["present", "present", "absent", "broken", "present", "present", "placeholder", "present"]
PARTS = ["train", "train", "valid", None, "test", "train", "train", "valid"]
TEXTS = {"title": [f"Kettle “{i}”" for i in range(7)] + [None], "text.colour": [*"abcdefgh"], "label.kind": ["x"] * 8}


def made(shop: Make, images: Images) -> Mapping[str, Artifact]:
    """Eight listings, of which the seventh's picture was found to be a placeholder."""
    ours = shop(PICTURES, NAMES)
    out, _ = ours.run(images)
    index = pl.read_parquet(out / "index.parquet", columns=["row", "order", "state"])
    items = pl.read_parquet(ours.root / "ingest" / "items.parquet")
    placeholder = (pl.col("row") == 6) & (pl.col("state") == "present")
    tables = {
        ("ingest", "items"): items.with_columns(pl.Series(k, v) for k, v in TEXTS.items()),
        ("duplicates", "pictures"): index.with_columns(
            pl.when(placeholder).then(pl.lit("placeholder")).otherwise("state").alias("state")
        ),
        ("split", "split"): items.select("row", part=pl.Series(PARTS)),
    }
    for (stage, name), table in tables.items():
        (ours.root / stage).mkdir(exist_ok=True)
        table.write_parquet(ours.root / stage / f"{name}.parquet")
    return {stage: artifact(ours.root / stage, stage) for stage, _ in tables} | {"images": artifact(out, "images")}


def expected(row: int) -> dict[str, Any]:
    told = {name: values[row] for name, values in TEXTS.items()}
    return {"row": row, "id": f"P{row}", **told, "part": PARTS[row], "state": STATES[row]}


def pixels(artifacts: Mapping[str, Artifact], row: int) -> list[Any]:
    """The pictures of a row as they are stored, each decoded."""
    shards = Shards(artifacts["images"].folder, artifacts["duplicates"].folder / "pictures.parquet")
    return [np.asarray(shards.image(row, k)).tolist() for k in range(shards.count(row))]


CASES = [("jpeg", "main"), ("png", "all"), ("raw", "all"), ("raw", "main")]


@pytest.mark.parametrize(("encoding", "use"), CASES)
def test_webdataset_reads_every_listing_and_the_same_pixels(
    shop: Make, tmp_path: Path, encoding: str, use: str
) -> None:
    images = Images(side=16, shard_pictures=3, encoding=encoding, use=use)
    artifacts = made(shop, images)
    said = export(artifacts, images, tmp_path / "for others", "webdataset")
    tars = sorted((tmp_path / "for others").iterdir())
    assert [path.name for path in tars] == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    assert said == f"8 listings, {6 if use == 'all' else 5} pictures: {tmp_path / 'for others'}"
    read = webdataset.WebDataset([str(path) for path in tars], shardshuffle=False, empty_check=False).decode("pil")
    suffix = "jpg" if encoding == "jpeg" else "png"
    for row, sample in enumerate(read):
        assert sample["__key__"] == f"{row:010}" and sample["json"] == expected(row)
        found = [sample[name] for name in (suffix, f"1.{suffix}") if name in sample]
        assert [np.asarray(image).tolist() for image in found] == pixels(artifacts, row)
    assert row == 7


@pytest.mark.parametrize(("encoding", "use"), CASES)
def test_datasets_reads_every_listing_and_the_same_pixels(shop: Make, tmp_path: Path, encoding: str, use: str) -> None:
    images = Images(side=16, shard_pictures=3, encoding=encoding, use=use)
    artifacts = made(shop, images)
    export(artifacts, images, tmp_path / "for others", "datasets")
    read = load_from_disk(str(tmp_path / "for others"))
    assert len(read) == 8 and read.features["row"].dtype == "uint32"
    for row, sample in enumerate(read):
        found = sample.pop("images") if use == "all" else [image for image in [sample.pop("image")] if image]
        assert sample == expected(row)
        assert [np.asarray(image).tolist() for image in found] == pixels(artifacts, row)


def test_tar_lists_the_members_and_equal_artifacts_give_equal_bytes(shop: Make, tmp_path: Path) -> None:
    images = Images(side=16, use="all")
    artifacts = made(shop, images)
    for form in ("webdataset", "datasets"):
        for name in ("one", "two"):
            export(artifacts, images, tmp_path / form / name, form)
        assert digests(tmp_path / form / "one") == digests(tmp_path / form / "two")
    tar = tmp_path / "webdataset" / "one" / "shard-000000.tar"
    listed = subprocess.run(["tar", "tvf", tar], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[-1] for line in listed][:5] == [
        f"000000000{name}" for name in ("0.png", "0.json", "1.png", "1.1.png", "1.json")
    ]


def test_a_kill_leaves_nothing_of_that_name_and_is_no_hindrance(
    shop: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = Images(side=16, shard_pictures=3)
    artifacts = made(shop, images)
    monkeypatch.setattr(module, "fsync", lambda path: 1 / 0)
    for form in ("webdataset", "datasets"):
        with pytest.raises(ZeroDivisionError):
            export(artifacts, images, tmp_path / form, form)
        assert not (tmp_path / form).exists()
    monkeypatch.undo()
    export(artifacts, images, tmp_path / "datasets", "datasets")
    export(artifacts, images, tmp_path / "webdataset", "datasets")
    assert digests(tmp_path / "datasets") == digests(tmp_path / "webdataset")
    assert not list(tmp_path.glob("datasets.*"))


def test_nothing_is_written_over_and_nothing_from_damaged_shards(shop: Make, tmp_path: Path) -> None:
    images = Images(side=16)
    artifacts = made(shop, images)
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="there: is there already; expected a new folder"):
        export(artifacts, images, tmp_path / "there", "datasets")
    shard = artifacts["images"].folder / "shard-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=r"shard-00000.bin: picture 0 of row 7 is not as it was written"):
        export(artifacts, images, tmp_path / "others", "webdataset")
    assert not (tmp_path / "others").exists()


def test_shards_in_an_object_store_give_the_same(shop: Make, tmp_path: Path) -> None:
    images = Images(side=16, shard_pictures=3, encoding="jpeg", use="all")
    artifacts = made(shop, images)
    export(artifacts, images, tmp_path / "near", "webdataset")
    here = artifacts["images"]
    names = [name for name in here.files if name.endswith(".bin")]
    (tmp_path / "store" / here.folder.stem).mkdir(parents=True)
    for name in names:
        (here.folder / name).rename(tmp_path / "store" / here.folder.stem / name)
    away = replace(here, streamed=names, away=Away(str(tmp_path / "store"), 1 << 20))
    export(artifacts | {"images": away}, images, tmp_path / "far", "webdataset")
    assert digests(tmp_path / "far") == digests(tmp_path / "near")
