"""Pictures are found by name in a folder, a zip and a tar, and nothing outside is read."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from PIL import Image

from workbench.errors import DataError
from workbench.images.origin import Absent, open_pictures, place_of
from workbench.recipe.schema import Feed


@pytest.fixture(params=["folder", "zip", "tar"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    files = {"a.png": b"AAA", "sub/b.png": b"BBBB"}
    path = tmp_path / f"pictures.{request.param}"
    (tmp_path / "secret.png").write_bytes(b"secret")
    if request.param == "folder":
        (path / "sub").mkdir(parents=True)
        for name, data in files.items():
            (path / name).write_bytes(data)
        (path / "link.png").symlink_to(tmp_path / "secret.png")
    elif request.param == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def test_names_are_normalised(place: Path) -> None:
    pictures = open_pictures(place, "key")
    assert pictures.read("a.png") == pictures.read("./a.png") == pictures.read("sub/../a.png") == b"AAA"
    assert pictures.read("sub/b.png") == pictures.read("sub\\b.png") == b"BBBB"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.png", "no such file"),
        ("../secret.png", "outside the folder of pictures"),
        ("sub/../../secret.png", "outside the folder of pictures"),
        ("..\\secret.png", "outside the folder of pictures"),
        ("/etc/hostname", "no such file"),
        ("https://example.com/a.png", "a web address, not the name of a file"),
    ],
)
def test_nothing_outside_is_read(place: Path, name: str, reason: str) -> None:
    with pytest.raises(Absent, match=f"^{reason}"):
        open_pictures(place, "key").read(name)


def test_folders_are_no_pictures_and_odd_names_are_absent(place: Path) -> None:
    for name in ("sub", ".", "a.png/x.png", "a\0.png", "x" * 5000):
        with pytest.raises(Absent):
            open_pictures(place, "key").read(name)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "a.png").write_bytes(b"A")
    with pytest.raises(Absent, match="outside"):
        open_pictures(folder, "key").read("link.png")
    assert open_pictures(folder, "key").read(str(folder / "a.png")) == b"A"  # an absolute path inside is fine


def test_what_holds_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    for path in (tmp_path / "a.txt", tmp_path / "none.zip"):
        with pytest.raises(DataError, match=r"catalog\.feeds\.0\.pictures: .*expected a folder, a \.zip or a \.tar"):
            open_pictures(path, "catalog.feeds.0.pictures")


def test_a_file_too_large_for_a_picture_is_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.images.names.MOST_BYTES", 3)
    pictures = open_pictures(place, "key")
    assert pictures.read("a.png") == b"AAA"
    with pytest.raises(ValueError, match="a picture's may have"):
        pictures.read("sub/b.png")


def test_a_damaged_member_is_an_error_of_that_picture(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"A" * 100)
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AXAA", 1))
    with pytest.raises(ValueError, match="damaged in its archive"):
        open_pictures(path, "key").read("a.png")


def test_names_are_found_whatever_their_accents_and_case(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9.png", "cafe\u0301.png"
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in ((apart, b"A"), ("Sub/B.PNG", b"B"), ("c.png", b"c"), ("C.PNG", b"C")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in (apart, "Sub/B.PNG", "c.png", "C.PNG"):
            archive.write(folder / name, name)
    for pictures in (open_pictures(folder, "key"), open_pictures(tmp_path / "p.zip", "key")):
        assert pictures.read(composed) == pictures.read(apart) == pictures.read(composed.upper()) == b"A"
        assert pictures.read("sub/b.png") == b"B" and pictures.read("c.png") == b"c" and pictures.read("C.PNG") == b"C"
        with pytest.raises(Absent, match="several that differ from it by case"):
            pictures.read("C.png")
        for guess in ("c", "c.jpg"):
            with pytest.raises(Absent, match=r"^no such file$"):
                pictures.read(guess)
        names = [composed, "sub/b.png", "none.png", "https://x.test/a.png", "../x.png"]
        assert pictures.missing(names) == {"none.png", "https://x.test/a.png", "../x.png"}


def test_zips_that_do_not_say_they_are_utf8(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("stra\u00dfe.png"), b"A")  # of a fixed date: it may look like the flag
    data = (tmp_path / "p.zip").read_bytes()
    unmarked = data.replace(b"\x00\x08", b"\x00\x00", 2)  # bit 11 of the flags, in both headers
    (tmp_path / "p.zip").write_bytes(unmarked)
    assert zipfile.ZipFile(tmp_path / "p.zip").namelist() != ["straße.png"]
    assert open_pictures(tmp_path / "p.zip", "key").read("straße.png") == b"A"


@pytest.mark.parametrize("below", ["pub/media/catalog/product", "media/catalog/product", "media"])
def test_names_as_magento_writes_them(tmp_path: Path, below: str) -> None:
    path = tmp_path / below / "l/a/lamp.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"L")
    pictures = open_pictures(tmp_path, "key")
    assert pictures.read("/l/a/lamp.jpg") == pictures.read("l/a/lamp.jpg") == pictures.read("/L/a/lamp.jpg") == b"L"
    assert pictures.missing(["/l/a/lamp.jpg", "/l/a/none.jpg"]) == {"/l/a/none.jpg"}


def test_an_archive_of_one_folder_is_looked_into(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("pictures/a.png", b"A")
        archive.writestr("__MACOSX/pictures/._a.png", b"x")
    assert open_pictures(tmp_path / "p.zip", "key").read("a.png") == b"A"
    assert open_pictures(tmp_path, "key").read("p.zip::a.png") == b"A"


def pictures_in_cells(folder: Path, kind: str) -> list[bytes]:
    """200 pictures of 10 kB in a file of that kind, in columns of three shapes."""
    data = [b"\x89PNG" + bytes([i]) * 10_000 for i in range(200)]
    structs = [{"bytes": one, "path": None} for one in data]
    table = pa.table({"id": range(200), "raw": data, "image": structs, "all": [[s, None, s] for s in structs]})
    if kind == "parquet":
        pq.write_table(table, folder / "a.parquet", row_group_size=70)
    elif kind == "stream":
        with pa.ipc.new_stream(folder / "a.stream", table.schema) as out:
            out.write_table(table, 70)
    else:
        feather.write_feather(table, folder / "a.feather", chunksize=70)
    return data


@pytest.mark.parametrize("kind", ["parquet", "stream", "feather"])
def test_pictures_in_cells_from_several_threads(tmp_path: Path, kind: str) -> None:
    data = pictures_in_cells(tmp_path, kind)
    pictures = open_pictures(tmp_path, "key")
    rows = [*range(1, 201), 150, 3, 77]  # in order, as the images stage asks, and back
    for column in ("raw", "image", "all::1", "all::3"):
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(pictures.read, (f"a.{kind}::{row}::{column}" for row in rows)))
        assert found == [data[row - 1] for row in rows]
    for name in ("0::raw", "201::raw", "x::raw", "1::none", "1::id", "1::all::2", "1::all::4", "1::all", "1", ""):
        with pytest.raises(Absent):
            pictures.read(f"a.{kind}::{name}")
    assert pictures.missing([f"a.{kind}::1::raw", "b.parquet::1::raw"]) == {"b.parquet::1::raw"}


def test_rows_in_order_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures_in_cells(tmp_path, "parquet")
    monkeypatch.setattr("workbench.images.cells.BATCH_BYTES", 100_000)
    decoded = 0
    original = pq.ParquetFile.iter_batches

    def iter_batches(*args: Any, **rest: Any) -> Iterator[pa.RecordBatch]:
        nonlocal decoded
        for batch in original(*args, **rest):
            decoded += batch.num_rows
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    pictures = open_pictures(tmp_path, "key")
    for row in range(1, 201):
        pictures.read(f"a.parquet::{row}::raw")
        pictures.read(f"a.parquet::{max(1, row - 8)}::raw")  # a thread that lags behind
    assert decoded == 200 + 3  # one more of each group, as proof that its metadata is sound


def test_pixels_of_hdf5_are_a_picture_and_links_are_not_followed(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = pixels
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = pixels
        file["linked"] = h5py.ExternalLink("other.h5", "image")
        (tmp_path / "secret").write_bytes(b"secret")
        file.create_dataset("outside", (1, 6), np.uint8, external=[(str(tmp_path / "secret"), 0, 6)])
    pictures = open_pictures(tmp_path, "key")
    found = np.asarray(Image.open(io.BytesIO(pictures.read("a.h5::2::image"))))
    assert (found == pixels[1]).all()
    for column in ("linked", "outside"):
        with pytest.raises(ValueError, match="damaged in its file"):
            pictures.read(f"a.h5::1::{column}")
    with pytest.raises(Absent):
        pictures.read("a.h5::3::image")


def test_containers_outside_the_folder_or_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pictures_in_cells(tmp_path, "parquet")
    (folder / "link.parquet").symlink_to(tmp_path / "a.parquet")
    (folder / "cut.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:5000])
    (folder / "text.tar").write_bytes(b"hello" * 1000)
    pictures = open_pictures(folder, "key")
    for name in ("../a.parquet::1::raw", "link.parquet::1::raw", "none.parquet::1::raw"):
        with pytest.raises(Absent):
            pictures.read(name)
    for name in ("cut.parquet::1::raw", "text.tar::a.png"):
        with pytest.raises(ValueError, match=r"its file .* can't be read"):
            pictures.read(name)


def test_the_place_of_a_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    assert place_of(Feed(path=tmp_path)) == place_of(Feed(path=tmp_path / "feed.csv")) == tmp_path
    assert place_of(Feed(path=tmp_path / "feed.csv", pictures=tmp_path / "p.zip")) == tmp_path / "p.zip"
    assert place_of(Feed(dataset="shop/products")) == tmp_path / "cache"
