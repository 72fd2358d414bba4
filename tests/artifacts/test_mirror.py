"""Copies of what lies in object storage: equal, current, resumed after a kill, and what is said where that can't be."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.bucket import S3
from workbench.artifacts import mirror
from workbench.artifacts.bucket import Bucket
from workbench.artifacts.mirror import bring
from workbench.errors import ArtifactError, DataError, RecipeError
from workbench.recipe.places import path_of

FILES = {"feed.csv": b"id,title\n1,cup\n", "photos/a b.jpg": b"one", "photos/sub/ü.jpg": b"two", "photos/empty": b""}


def put(s3: S3, files: dict[str, bytes], below: str = "june") -> None:
    for name, data in files.items():
        s3.client().put_object(Bucket="shop", Key=f"{below}/{name}", Body=data)


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def june(s3: S3, tmp_path: Path) -> Path:
    put(s3, FILES)
    return path_of("s3://shop/june", tmp_path)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What is read of the store."""
    names: list[str] = []
    read = Bucket.read

    def noted(self, name, start=None, end=None):
        names.append(name)
        return read(self, name, start, end)

    monkeypatch.setattr(Bucket, "read", noted)
    return names


def test_a_folder_is_copied_once(june, asked):
    said = []
    bring(june, tell=said.append)
    assert files(june) == FILES
    assert said == ["copying 4 files, 0.0 MB, from s3://shop/june"]
    assert sorted(asked) == [f"june/{name}" for name in sorted(FILES) if FILES[name]]
    asked.clear()
    bring(june, tell=said.append)
    assert (len(said), asked) == (1, [])


def test_a_file_is_copied_alone_and_belongs_to_its_folder(june, asked):
    bring(june / "photos/a b.jpg")
    assert files(june) == {"photos/a b.jpg": b"one"}
    bring(june)
    assert sorted(asked) == ["june/feed.csv", "june/photos/a b.jpg", "june/photos/sub/ü.jpg"]


def test_what_has_changed_there_or_here_is_copied_again_and_what_went_goes(s3, june, asked):
    bring(june)
    put(s3, {"feed.csv": b"id,title\n2,mug\n", "photos": b"now a file"})  # of the same size, within the same second
    for name in ("photos/a b.jpg", "photos/sub/ü.jpg", "photos/empty"):
        s3.client().delete_object(Bucket="shop", Key=f"june/{name}")
    asked.clear()
    bring(june)
    assert files(june) == {"feed.csv": b"id,title\n2,mug\n", "photos": b"now a file"}
    assert sorted(asked) == ["june/feed.csv", "june/photos"]
    (june / "feed.csv").write_bytes(b"mine")
    bring(june / "feed.csv")
    assert (june / "feed.csv").read_bytes() == b"id,title\n2,mug\n"
    s3.empty()
    bring(june / "feed.csv")
    assert not (june / "feed.csv").exists()
    bring(june)
    assert not june.exists()


def test_hidden_files_folders_of_consoles_and_what_is_written_there_are_left_out(s3, june):
    put(s3, {"photos/": b"", ".mlim/images/shard": b"x", "reports/page.html": b"x", "reports2/page.html": b"kept"})
    (june / ".mlim").mkdir(parents=True)
    (june / ".mlim/mine").write_bytes(b"")
    bring(june, leave=["s3://shop/june/reports/", "s3://shop/other"])
    assert files(june) == {**FILES, "reports2/page.html": b"kept", ".mlim/mine": b""}


def test_names_that_no_file_can_have_are_told(s3, june):
    put(s3, {"photos//x.jpg": b"x", "photos/../../y.jpg": b"y", f"{'n' * 256}.jpg": b"z"})
    said = []
    bring(june, tell=said.append)
    assert files(june) == FILES
    assert sum(line.startswith("left out: s3://shop/june/") for line in said) == len(said) - 1 == 3


def test_a_large_file_comes_in_pieces_and_goes_on_after_a_kill(s3, june, asked, monkeypatch):
    monkeypatch.setattr(mirror, "PIECE", 1000)
    monkeypatch.setattr(mirror, "AT_ONCE", 2)
    data = os.urandom(7500)
    put(s3, {"all.tar": data})
    read, pieces = Bucket.read, []

    def killed(self, name, start=None, end=None):
        pieces.append(start)
        if start and start >= 4000:
            raise KeyboardInterrupt
        return read(self, name, start, end)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Bucket, "read", killed)
        bring(june / "all.tar")
    assert not (june / "all.tar").exists()
    asked.clear()
    bring(june / "all.tar")
    assert (june / "all.tar").read_bytes() == data
    assert len(asked) == 4  # from 4000 on
    assert {path.name for path in june.parent.parent.iterdir()} == {".shop.lock", "shop"}


@pytest.mark.parametrize("piece", [mirror.PIECE, 4])
def test_wrong_bytes_are_asked_for_again(june, monkeypatch, piece):
    monkeypatch.setattr(mirror, "PIECE", piece)
    read, wrong = Bucket.read, [b"x" * 20]

    def damaged(self, name, start=None, end=None):
        data = read(self, name, start, end)
        return wrong.pop()[: len(data)] if wrong else data

    monkeypatch.setattr(Bucket, "read", damaged)
    bring(june)
    assert not wrong
    assert files(june) == FILES


def test_a_store_whose_marks_are_no_md5_is_believed_when_it_says_the_same_twice(june, monkeypatch, asked):
    of = mirror.Object.of
    monkeypatch.setattr(
        mirror.Object,
        "of",
        lambda name, info: of(name, {**info, "ETag": f'"{hashlib.md5(name.encode()).hexdigest()}"'}),
    )
    monkeypatch.setattr(mirror, "AT_ONCE", 1)
    bring(june)
    assert files(june) == FILES
    assert len(asked) == 4  # one of them twice


def test_what_changes_while_it_is_copied(s3, june, monkeypatch):
    read, left = Bucket.read, [1]

    def meanwhile(self, name, start=None, end=None):
        data = read(self, name, start, end)
        if left and name.endswith("feed.csv"):
            put(s3, {"feed.csv": b"id,title\n3,%d\n" % left.pop()})
        return data

    monkeypatch.setattr(Bucket, "read", meanwhile)
    bring(june)
    assert (june / "feed.csv").read_bytes() == b"id,title\n3,1\n"
    put(s3, {"feed.csv": b"id,title\n4,x\n"})
    left += range(10)
    with pytest.raises(ArtifactError, match="s3://shop/june: changed while it was copied, 4 times"):
        bring(june)


def test_two_that_copy_at_once_copy_each_file_once(june, asked):
    with ThreadPoolExecutor(2) as both:
        list(both.map(bring, (june, june / "photos")))
    assert files(june) == FILES
    assert len(asked) == 3


def test_errors_say_what_to_do(june, s3, tmp_path, monkeypatch):
    with pytest.raises(RecipeError, match="s3://mall: there is no such bucket; create it, or correct the address"):
        bring(path_of("s3://mall/feed.csv", tmp_path))
    with pytest.raises(RecipeError, match=r"nope://x: .*expected s3://…"):
        bring(path_of("nope://x/feed.csv", tmp_path))
    monkeypatch.setattr(mirror.shutil, "disk_usage", lambda path: SimpleNamespace(free=3))
    with pytest.raises(DataError, match=r"runtime\.scratch: .* give a folder on a larger disk"):
        bring(june)
    bring(tmp_path / "own.csv")  # no copy of anything
    assert not (tmp_path / "own.csv").exists()


def test_what_other_stores_say_of_a_file():
    google = {"size": "3", "updated": "2026-11-26T09:00:00.123Z", "etag": "CKq", "md5Hash": "rL0Y20zC+Fzt72VPzMSk2A=="}
    found = mirror.Object.of("a.jpg", google)
    assert (found.size, found.md5) == (3, "acbd18db4cc2f85cedef654fccc4a4d8")  # md5 of foo
    assert found.time // 10**9 == 1795683600
    assert found != mirror.Object.of("a.jpg", google | {"etag": "CKr"})
    parts = mirror.Object.of("a.jpg", {"size": 3, "ETag": '"acbd18db4cc2f85cedef654fccc4a4d8-2"'})
    assert (parts.md5, parts.time < 10**9) == (None, True)
