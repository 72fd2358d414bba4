"""Folders as feeds: which kind they are, their files in order, and where their pictures are."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.catalog.feeds import folder as feed_folder
from workbench.catalog.feeds.hub import read_dataset
from workbench.catalog.feeds.imagefolder import split_of
from workbench.catalog.feeds.layout import Join, Layout, Listing
from workbench.catalog.feeds.read import open_feed, read_feed
from workbench.catalog.feeds.table import Table, joined
from workbench.errors import DataError
from workbench.images.origin import open_pictures

PNG = b"\x89PNG\r\n\x1a\n rest"


def fill(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def filled(table: Table) -> list[dict[str, str]]:
    return [{word: cell for word, cell in row.items() if cell} for row in table.cells.to_dicts()]


def test_samples_of_tars(tmp_path: Path) -> None:
    members = {
        "a/sku1.jpg": PNG + b"1",
        "a/sku1.txt": b"Mug",
        "sku2.front.jpg": PNG + b"2",
        "sku2.json": b'{"title": "Pot", "price": 1.50, "image": "x", "tags": ["a", "b"]}',
        "sku3.cls": b"7",
        "sku2.back.jpg": PNG + b"3",
        "sku4.json": b"{",
        "sku4.jpg": PNG,
        "sku5.npy": b"x",
        "a/sku1.caption.txt": "Käse".encode("cp1252"),
    }
    path = tar(tmp_path / "00000.tar", members)
    tar(tmp_path / "00001.tar", {"sku2.jpg": PNG + b"4"})
    first, second = open_feed(tmp_path)
    assert filled(first) == [
        {"__key__": "a/sku1", "image": "00000.tar::a/sku1.jpg", "txt": "Mug", "caption.txt": "Käse"},
        {
            **{"__key__": "sku2", "image": "00000.tar::sku2.front.jpg", "images": "00000.tar::sku2.back.jpg"},
            **{"title": "Pot", "price": "1.50", "json.image": "x", "tags": "a, b"},
        },
        {"__key__": "sku3", "cls": "7"},
    ]
    assert first.lines.to_list() == [1, 2, 3] and first.file == "00000.tar"
    assert [(bad.line, bad.reason) for bad in first.bad] == [(4, "broken sample")]
    assert filled(second) == [{"__key__": "00001/sku2", "image": "00001.tar::sku2.jpg"}]
    pictures = open_pictures(tmp_path, "key")
    assert [pictures.read(name)[-1:] for name in (*first.cells["image"][:2], second.cells["image"][0])] == [
        b"1",
        b"2",
        b"4",
    ]
    assert read_feed(path, limit=2).cells["__key__"].to_list() == ["a/sku1", "sku2"]


def test_what_is_no_file_in_a_tar_is_ignored_and_told(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"1.jpg": PNG, "../2.jpg": PNG})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("3.jpg", tarfile.SYMTYPE), ("4.jpg", tarfile.CHRTYPE), ("5.jpg", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    table = read_feed(path)
    assert table.cells["image"].to_list() == ["a.tar::1.jpg"] and table.read_as == "WebDataset, 4 members ignored"


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["22.05.png", "22.05.json", "22.06.png", "22.06.json"], ["22.05", "22.06"]),
        (["22.05.png", "22.06.png", "31.99.png"], ["22.05", "22.06", "31.99"]),
        (["k.0.jpg", "k.1.jpg", "k.txt", "l.0.jpg", "l.1.jpg"], ["k", "l"]),
        (["k.left.jpg", "k.right.jpg", "k.caption.txt"], ["k"]),
        (["v1.0/k.jpg", "v1.0/k.txt"], ["v1.0/k"]),
    ],
)
def test_dots_in_names_of_samples(tmp_path: Path, names: list[str], keys: list[str]) -> None:
    path = tar(tmp_path / "a.tar", {name: b"{}" if name.endswith("json") else PNG for name in names})
    assert read_feed(path).cells["__key__"].to_list() == keys


def test_a_tar_that_breaks_off(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {f"{i}.jpg": PNG * 200 for i in range(5)})
    path.write_bytes(path.read_bytes()[:9000])
    table = read_feed(path)
    assert table.cells["__key__"].to_list() == ["0", "1"]
    assert [(bad.line, bad.reason) for bad in table.bad] == [(3, "damaged archive")]


@pytest.mark.parametrize("way", ["tar", "files"])
def test_img2dataset(tmp_path: Path, way: str) -> None:
    frame = pl.DataFrame(
        {
            "url": ["u0", "u1", "u2"],
            "key": ["000000000", "000000001", "000000002"],
            "caption": ["Mug", "Pot", "Cup"],
            "status": ["success", "failed_to_download", "success"],
            "error_message": [None, "HTTP Error 404", None],
        }
    )
    frame.write_parquet(tmp_path / "00000.parquet")
    fill(tmp_path, {"00000_stats.json": "{}"})
    members = {"000000000.jpg": PNG, "000000000.json": b"{}", "000000002.webp": PNG}
    if way == "tar":
        tar(tmp_path / "00000.tar", members)
    else:
        fill(tmp_path / "00000", members)
    table = read_feed(tmp_path)
    mark = ".tar::" if way == "tar" else "/"
    assert table.cells["image"].to_list() == [f"00000{mark}000000000.jpg", f"00000{mark}000000002.webp"]
    assert table.cells["caption"].to_list() == ["Mug", "Cup"] and table.lines.to_list() == [1, 3]
    assert [(bad.line, bad.reason, bad.detail) for bad in table.bad] == [
        (2, "failed to download", "HTTP Error 404: u1")
    ]
    assert open_pictures(tmp_path, "key").read(table.cells["image"][1]) == PNG


def test_image_folder_with_metadata(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {
            "train/metadata.csv": "file_name,back_file_name,id\n0001.jpg,0001_b.jpg,007\nsub/2.JPG,,NA\n",
            "test/metadata.csv": "file_name,id\n3.jpg,8\n",
            **dict.fromkeys(("train/0001.jpg", "train/0001_b.jpg", "train/sub/2.JPG", "test/3.jpg"), PNG),
        },
    )
    assert filled(read_feed(tmp_path)) == [
        {"file_name": "test/3.jpg", "id": "8", "split": "test"},
        {"file_name": "train/0001.jpg", "back_file_name": "train/0001_b.jpg", "id": "007", "split": "train"},
        {"file_name": "train/sub/2.JPG", "id": "NA", "split": "train"},
    ]


def test_image_folder_with_lists_and_pictures_in_a_zip(tmp_path: Path) -> None:
    fill(tmp_path, {"metadata.jsonl": '{"file_names": ["a.jpg", "sub/b.JPG"], "title": "Mug"}\n'})
    zipped(tmp_path / "images.zip", {"a.jpg": PNG, "sub/b.JPG": PNG})
    table = read_feed(tmp_path)
    assert table.cells["file_names"].to_list() == ["images.zip::a.jpg, images.zip::sub/b.JPG"]
    assert open_pictures(tmp_path, "key").read("images.zip::sub/b.JPG") == PNG


def test_image_folder_all_within_a_zip(tmp_path: Path) -> None:
    zipped(tmp_path / "all.zip", {"x/metadata.csv": b"file_name,title\n1.jpg,Mug\n", "x/1.jpg": PNG})
    table = read_feed(tmp_path)
    assert filled(table) == [{"file_name": "all.zip::x/1.jpg", "title": "Mug"}]
    assert open_pictures(tmp_path, "key").read(table.cells["file_name"][0]) == PNG


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["mug/2.jpg", "mug/10.jpg", "pot/1.PNG"], [("mug/2", "mug"), ("mug/10", "mug"), ("pot/1", "pot")]),
        (["mug/1.jpg", "2.jpg"], [("2", None), ("mug/1", None)]),
        (["mug/1.jpg", "mug/2.jpg"], [("mug/1", None), ("mug/2", None)]),
    ],
)
def test_pictures_alone(tmp_path: Path, names: list[str], rows: list[tuple[str, str | None]]) -> None:
    table = read_feed(fill(tmp_path, dict.fromkeys(names, PNG)))
    assert [(row["id"], row.get("label")) for row in filled(table)] == rows
    assert table.cells["file_name"].to_list() == [
        next(name for name in names if name.startswith(f"{id}.")) for id, _ in rows
    ]


def test_shards_of_parquet(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, shard, id in (("train", 10, "c"), ("train", 2, "b"), ("test", 0, "a")):
        image = pa.array([{"bytes": PNG + id.encode(), "path": None}])
        pq.write_table(pa.table({"id": [id], "image": image}), tmp_path / f"data/{split}-{shard}-of-11.parquet")
    table = read_feed(tmp_path)
    assert table.cells["id"].to_list() == ["a", "b", "c"]
    assert table.cells["split"].to_list() == ["test", "train", "train"]
    pictures = open_pictures(tmp_path, "key")
    assert [pictures.read(name)[-1:] for name in table.cells["image"]] == [b"a", b"b", b"c"]


def test_data_sets_saved_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    kinds = datasets.Features({"id": datasets.Value("string"), "label": datasets.ClassLabel(names=["mug", "pot"])})
    rows = datasets.Dataset.from_dict({"id": ["007", "8"], "label": [1, 0]}, features=kinds)
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "both")
    rows.save_to_disk(tmp_path / "one")
    assert read_feed(tmp_path / "one").cells.rows() == [("007", "pot"), ("8", "mug")]
    table = read_feed(tmp_path / "both")
    assert table.cells.rows() == [
        (*row, split) for split in ("train", "test") for row in (("007", "pot"), ("8", "mug"))
    ]

    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", str(tmp_path))
    loaded = datasets.load_from_disk(tmp_path / "both")
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: loaded if split is None else loaded[split])
    by_name = list(read_dataset("shop/products"))
    assert joined(by_name).cells.rows() == table.cells.rows()
    assert by_name[0].file == "both/train/data-00000-of-00001.arrow"
    assert joined(list(read_dataset("shop/products:test", 1))).cells.rows() == [("007", "pot", "test")]

    def refuse(name: str, split: str | None) -> None:
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match=r"shop/products: the data set can't be loaded .*reach the hub.*save_to_disk"):
        list(read_dataset("shop/products"))


SHELF = Layout(
    "shelf",
    "**/rows_*.jsonl",
    joins=(
        Join("**/paths.csv*", "main", "key", {"main path": "path"}),
        Join("**/paths.csv*", "other", "key", {"other paths": "path"}, each=True),
        Join("prices.csv", "id", "id", {"price": "amount"}),
    ),
    words=("main",),
)


def test_a_layout_reads_all_shards_and_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_folder, "LAYOUTS", (SHELF,))
    rows = [{"id": "1", "main": "a", "other": ["c", "none", "b"]}, {"id": "2", "main": "none"}]
    fill(
        tmp_path,
        {
            "in/rows_0.jsonl": "\n".join(map(json.dumps, rows)),
            "in/rows_f.jsonl": json.dumps({"id": "3", "main": "b", "other": []}),
            "paths.csv": "key,path\na,0/a.jpg\nb,0/b.jpg\na,again.jpg\nc,1/c.jpg\n",
        },
    )
    table = read_feed(tmp_path)
    assert table.cells["main path"].to_list() == ["0/a.jpg", None, "0/b.jpg"]
    assert table.cells["other paths"].to_list() == ["1/c.jpg, 0/b.jpg", None, None]
    assert table.cells["price"].to_list() == [None] * 3
    files = dict.fromkeys(table.file for table in open_feed(tmp_path))
    assert list(files) == ["in/rows_0.jsonl", "in/rows_f.jsonl"]
    assert table.read_as == "JSON lines, UTF-8, shelf, without prices.csv"
    assert read_feed(tmp_path, limit=2).cells["id"].to_list() == ["1", "2"]


def test_a_layout_of_files_without_a_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(
        "bare", "labels/*.txt", header=("path", "text"), from_name=r"(?P<category>\w+)_(?P<split>train|test)"
    )
    monkeypatch.setattr(feed_folder, "LAYOUTS", (layout,))
    fill(tmp_path, {"labels/dress_train.txt": "a.jpg\tRed\nb.jpg\tBlue\n", "labels/top_test.txt": "c.jpg\tGreen\n"})
    assert read_feed(tmp_path).cells.rows() == [
        ("a.jpg", "Red", "dress", "train"),
        ("b.jpg", "Blue", "dress", "train"),
        ("c.jpg", "Green", "top", "test"),
    ]


def test_a_feed_at_the_top_goes_before_archives_and_several_kinds_are_told(tmp_path: Path) -> None:
    tar(tmp_path / "pictures.tar", {"1.jpg": PNG})
    fill(tmp_path, {"feed-2.csv": "id\n2\n", "feed-10.csv": "id\n10\n", "README.md": "x", "pictures/1.jpg": PNG})
    table = read_feed(tmp_path)
    assert table.cells["id"].to_list() == ["2", "10"] and table.file == "feed-10.csv"
    fill(tmp_path, {"feed.tsv": "id\n3\n"})
    with pytest.raises(
        DataError, match=r"feeds of several kinds \(feed-2\.csv, feed-10\.csv, feed\.tsv\); give the path of one"
    ):
        read_feed(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds no feed; expected"):
        read_feed(tmp_path / "empty")


def test_listing_and_splits(tmp_path: Path) -> None:
    fill(tmp_path, dict.fromkeys(("a/x.csv", "x.csv", "a/b/x.csv", ".git/x.csv", "1.jpg"), b""))
    listing = Listing(tmp_path)
    assert listing.names == ["a/b/x.csv", "a/x.csv", "x.csv"] and listing.pictures
    assert listing.matching("x.*") == [tmp_path / "x.csv"] and len(listing.matching("**/x.csv")) == 3
    names = ("data/train-00000-of-00002.parquet", "test/1.jpg", "a/val_2.csv", "training_set/x", "latest/trainer.csv")
    assert list(map(split_of, names)) == ["train", "test", "validation", "train", None]
