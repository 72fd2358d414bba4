"""Where pictures lie below a feed."""

import zipfile
from pathlib import Path

import polars as pl
import pytest

from workbench.catalog.dialects.place import place, placed


@pytest.mark.parametrize(
    ("files", "names", "folders", "at"),
    [
        (["a.jpg", "images/a.jpg"], ["a.jpg"], (), ""),
        (["images/a.jpg"], ["gone.jpg", "a.jpg"], (), "images/"),
        (["train_images/a.jpg"], ["a.jpg"], (), ""),
        (["train_images/a.jpg"], ["a.jpg"], ("train_images",), "train_images/"),
        (["images/small/1/a.jpg"], ["1/a.jpg"], ("images/original", "images/small"), "images/small/"),
        (["other/a.jpg"], ["a.jpg"], ("train_images",), "train_images/"),  # where they are published
        (["images/a.jpg"], ["https://x.test/a.jpg", "/a.jpg", "x.zip::a.jpg", "images/../a.jpg"], (), ""),
        ([], [], ("images",), ""),
    ],
)
def test_place(files: list[str], names: list[str], folders: tuple[str, ...], at: str, tmp_path: Path) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    assert place(tmp_path, names, folders) == at


@pytest.mark.parametrize(("member", "at"), [("a.jpg", "images.zip::"), ("images/a.jpg", "images.zip::images/")])
def test_place_in_an_archive(member: str, at: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr(member, b"")
    assert place(tmp_path, ["a.jpg"]) == at
    assert place(tmp_path / "images.zip", ["a.jpg"]) == at.removeprefix("images.zip::")
    (tmp_path / "images.zip").write_bytes(b"no archive")
    assert place(tmp_path, ["a.jpg"]) == ""


def test_a_place_that_the_user_names_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"")
    assert place(tmp_path, ["a.jpg"], ("images",), published=False) == ""
    assert place(tmp_path / "gone.zip", ["a.jpg"], ("images",), published=False) == ""


def test_names_of_files_are_placed() -> None:
    cells = pl.Series("picture", ["a.jpg", None, "https://x.test/a.jpg", "a.jpg, https://x.test/b.jpg", "no_selection"])
    assert placed(cells, "images/").to_list() == [
        "images/a.jpg",
        None,
        "https://x.test/a.jpg",
        '["images/a.jpg", "https://x.test/b.jpg"]',
        None,
    ]
