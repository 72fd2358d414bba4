"""Pictures are found by name in a folder, a zip and a tar, and nothing outside is read."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from workbench.errors import DataError
from workbench.images.origin import Absent, open_pictures


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
    monkeypatch.setattr("workbench.images.containers.MOST_BYTES", 3)
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
