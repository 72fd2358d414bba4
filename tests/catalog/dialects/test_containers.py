"""Data sets that hold their pictures: WebDataset, img2dataset, Hugging Face folders and Parquet."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from tests.catalog.dialects.outcome import outcome
from workbench.catalog.dialects.look import recipe_tree


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path: Path, members: dict[str, bytes | str]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


SHARD: dict[str, bytes | str] = {
    "sku1.jpg": png(1),
    "sku1.txt": "Oak stool",
    "sku1.json": json.dumps({"brand": "Fern", "color": "Brown", "category": "Stools"}),
    "sku2.front.jpg": png(2),
    "sku2.back.jpg": png(3),
    "sku2.txt": "Bright",
    "sku2.json": json.dumps({"title": "Lamp", "brand": "Lumen", "price": "9 EUR"}),
}


def test_webdataset(tmp_path: Path) -> None:
    tar(tmp_path / "00000.tar", SHARD)
    for feed in (tmp_path, tmp_path / "00000.tar"):
        found = outcome(feed)
        assert found.dialect == "webdataset" and not found.bad and not found.joined
        stool, lamp = found.items["sku1"], found.items["sku2"]
        assert stool["pictures"] == ["00000.tar::sku1.jpg"] and stool["label.category"] == "Stools"
        assert lamp["pictures"] == ["00000.tar::sku2.front.jpg", "00000.tar::sku2.back.jpg"]
        assert (stool["title"], stool["text.brand"], stool["text.color"]) == ("Oak stool", "Fern", "Brown")
        assert (lamp["title"], lamp["text.brand"], lamp["price"]) == ("Lamp", "Lumen", "9 EUR")
        assert lamp["text.caption"] == "Bright" and "text.caption" not in stool


def test_a_tar_lies_in_its_folder_for_its_pictures(tmp_path: Path) -> None:
    tree, _ = recipe_tree(tar(tmp_path / "00000.tar", SHARD))
    assert tree["catalog"]["feeds"][0]["pictures"] == "."  # their addresses begin with `00000.tar::`


def test_img2dataset(tmp_path: Path) -> None:
    tar(tmp_path / "00000.tar", {"000000000.jpg": png(1), "000000000.txt": "Oak stool", "000000000.json": "{}"})
    rows = [
        ("https://a.test/1.jpg", "Oak stool", "000000000", "success", None),
        ("https://a.test/2.jpg", "Lamp", "000000001", "failed_to_download", "HTTP Error 404: Not Found"),
    ]
    words = ("url", "caption", "key", "status", "error_message")
    table = pl.DataFrame(rows, dict.fromkeys(words, pl.String), orient="row")
    table.with_columns(width=256, original_width=300, exif=pl.lit("{}")).write_parquet(tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text('{"count": 2}')
    found = outcome(tmp_path)
    assert found.dialect == "img2dataset" and found.bad == [(2, "failed to download")]
    assert found.items == {"000000000": {"title": "Oak stool", "pictures": ["00000.tar::000000000.jpg"]}}


def test_imagefolder(tmp_path: Path) -> None:
    (tmp_path / "train/sub").mkdir(parents=True)
    for name in ("0001.jpg", "0001_b.jpg", "sub/0002.JPG"):
        (tmp_path / "train" / name).write_bytes(png(9))
    text = "file_name,back_file_name,title,sku,label\n0001.jpg,0001_b.jpg,Oak mug,007,a\nsub/0002.JPG,,Clay pot,008,\n"
    (tmp_path / "train/metadata.csv").write_text(text)
    found = outcome(tmp_path)
    assert found.items == {
        "007": {
            "title": "Oak mug",
            "label.class": "a",
            "split": "train",
            "pictures": ["train/0001.jpg", "train/0001_b.jpg"],
        },
        "008": {"title": "Clay pot", "split": "train", "pictures": ["train/sub/0002.JPG"]},
    }


def test_imagefolder_without_metadata(tmp_path: Path) -> None:
    for name in ("train/mugs/1.jpg", "train/pots/2.JPG", "test/mugs/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(9))
    found = outcome(tmp_path)
    assert found.dialect == "imagefolder" and len(found.items) == 3
    first = next(item for item in found.items.values() if item["pictures"] == ["train/mugs/1.jpg"])
    assert first == {"title": "mugs", "label.class": "mugs", "split": "train", "pictures": ["train/mugs/1.jpg"]}


def test_imagefolder_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("0001.jpg", png(9))
    line = {"file_name": "0001.jpg", "title": "Oak mug", "id": "007"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    assert outcome(tmp_path).items == {"007": {"title": "Oak mug", "pictures": ["images.zip::0001.jpg"]}}


def test_parquet_of_a_hub(tmp_path: Path) -> None:
    """ClassLabel names are in the schema's metadata; Image cells are structs, one of them empty, one a mere path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = [{"bytes": png(1), "path": "a.png"}, None, {"bytes": None, "path": "b.png"}]
    table = pa.table(
        {
            "image": pa.array(images, picture),
            "views": pa.array([[images[0], images[0]], [], None], pa.list_(picture)),
            "item_ID": ["1", "2", "3"],
            "text": ["Oak stool of three legs", "Lamp of brass", "Cup of clay"],
            "category": pa.array([1, 0, -1], pa.int64()),
        }
    )
    names = {"category": {"names": ["Lamps", "Stools"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": names}})}
    (tmp_path / "data").mkdir()
    path = "data/train-00000-of-00001.parquet"
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / path)
    items = outcome(tmp_path).items
    assert items["1"]["pictures"] == [f"{path}::1::image", f"{path}::1::views::1", f"{path}::1::views::2"]
    assert items["1"]["label.category"] == "Stools" and items["2"]["label.category"] == "Lamps"
    assert items["2"]["pictures"] == [] and items["3"]["pictures"] == ["b.png"]
    assert {item["split"] for item in items.values()} == {"train"}
    assert [item["title"] for item in items.values()] == ["Oak stool of three legs", "Lamp of brass", "Cup of clay"]
