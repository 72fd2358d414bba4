"""Artifacts pushed to an object store and fetched from it, and what is said where that can't be."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bucket import S3
from workbench.artifacts import remote as remotes
from workbench.artifacts.bucket import Bucket
from workbench.artifacts.key import key_of
from workbench.artifacts.remote import Remote, Sent
from workbench.artifacts.store import Artifact, Away, Store
from workbench.errors import ArtifactError, RecipeError

FILES = {"index.txt": b"rows", "below/more.txt": b"more", "shard-0.bin": b"0" * 100, "shard-1.bin": b"1" * 50}


def artifact(cache: Path, seed: int = 0) -> Artifact:
    store = Store(cache)
    ingredients = {"stage": "images", "seed": seed}
    with store.making("images", key_of(ingredients)) as folder:
        for name, data in FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
    return store.commit("images", ingredients, {"pictures": 2})


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def made(tmp_path: Path) -> Artifact:
    return artifact(tmp_path / "cache")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(str(tmp_path / "store"))


def fetch(remote: Remote, made: Artifact, cache: Path, streams: str = "") -> Artifact:
    there = remote.find(made.stage, made.key)
    assert there
    return remote.fetch(there, Store(cache, Away(remote.url, 1000)), streams)


def test_over_s3_what_is_fetched_is_what_was_pushed_byte_for_byte(s3: S3, made, tmp_path):
    remote = Remote(s3.url)
    assert remote.find("images", made.key) is None
    assert remote.push(made) == Sent(4, 158, 0)
    assert remote.push(made) == Sent(0, 0, 4)
    assert fetch(Remote(s3.url), made, tmp_path / "other").folder == tmp_path / "other" / made.folder.name
    assert files(tmp_path / "other" / made.folder.name) == files(made.folder)


def test_a_folder_is_a_store_too(remote, made, tmp_path):
    remote.push(made)
    assert files(tmp_path / "store") == {f"{made.folder.name}/{n}": data for n, data in files(made.folder).items()}
    assert files(fetch(Remote(f"file://{tmp_path}/store"), made, tmp_path / "other").folder) == files(made.folder)


def test_streamed_files_are_left_there(remote, made, tmp_path):
    remote.push(made)
    got = fetch(remote, made, tmp_path / "other", "shard-*.bin")
    assert got.folder.name == f"{made.folder.name}.streamed"
    assert sorted(got.streamed) == ["shard-0.bin", "shard-1.bin"] and got.files == made.files
    assert got.away == Away(remote.url, 1000)
    assert sorted(files(got.folder)) == ["below/more.txt", "index.txt", "manifest.json"]
    got.verify()
    found = Store(tmp_path / "other", Away("elsewhere", 5)).find("images", made.key)
    assert found and found.away == Away("elsewhere", 5)  # a store may move
    assert Store(tmp_path / "other").find("images", made.key) is None  # it is made here where no store is named
    assert remote.push(got) == Sent(0, 0, 4)
    with pytest.raises(ArtifactError, match="2 of its files are not here but streamed"):
        Remote(str(tmp_path / "second")).push(got)


def test_a_whole_artifact_goes_before_a_streamed_one(remote, made, tmp_path):
    remote.push(made)
    fetch(remote, made, tmp_path / "cache2", "shard-*.bin")
    whole = artifact(tmp_path / "cache2")
    store = Store(tmp_path / "cache2", Away(remote.url, 1000))
    assert store.find("images", made.key) == whole
    (whole.folder / "shard-0.bin").unlink()  # somebody needed the room
    found = store.find("images", made.key)
    assert found and found.folder.suffix == ".streamed"
    with pytest.raises(ArtifactError, match=r"shard-0.bin: missing"):
        Store(tmp_path / "cache2").find("images", made.key)


def test_only_what_is_missing_or_of_another_size_is_sent_again(remote, made, tmp_path):
    remote.push(made)
    there = tmp_path / "store" / made.folder.name
    (there / "shard-1.bin").unlink()
    (there / "index.txt").write_bytes(b"row")
    assert remote.push(made) == Sent(2, 54, 2)
    assert files(there) == files(made.folder)


def test_a_push_that_was_killed_goes_on_and_nobody_sees_half_of_it(remote, made, tmp_path, monkeypatch):
    monkeypatch.setattr(remotes, "NOTED", 1)
    real = Bucket.send

    def dying(self, file, name):
        if name.endswith("shard-1.bin"):
            raise KeyboardInterrupt
        real(self, file, name)

    monkeypatch.setattr(Bucket, "send", dying)
    with pytest.raises(KeyboardInterrupt):
        remote.push(made)
    assert remote.find("images", made.key) is None
    monkeypatch.setattr(Bucket, "send", real)
    assert remote.push(made) == Sent(1, 50, 3)
    assert files(tmp_path / "store" / made.folder.name) == files(made.folder)


def test_damaged_files_are_not_pushed(remote, made):
    (made.folder / "shard-1.bin").write_bytes(b"2" * 50)
    with pytest.raises(ArtifactError, match=r"shard-1.bin: its bytes changed"):
        remote.push(made)
    assert remote.find("images", made.key) is None


def test_a_fetch_that_was_killed_goes_on(remote, made, tmp_path, monkeypatch):
    remote.push(made)
    real, read = Bucket.read_into, []

    def dying(self, out, name, size, sha256):
        read.append(Path(name).name)
        if len(read) == 3:
            raise KeyboardInterrupt
        real(self, out, name, size, sha256)

    monkeypatch.setattr(Bucket, "read_into", dying)
    with pytest.raises(KeyboardInterrupt):
        fetch(remote, made, tmp_path / "other")
    got = fetch(remote, made, tmp_path / "other")
    assert len(read) == 5 and files(got.folder) == files(made.folder)


def test_damage_there_is_told(remote, made, tmp_path):
    remote.push(made)
    there = tmp_path / "store" / made.folder.name
    (there / "index.txt").write_bytes(b"rowz")
    with pytest.raises(ArtifactError, match=r"index.txt: 3 times its bytes were not those of the manifest; delete it"):
        fetch(remote, made, tmp_path / "other")
    (there / "index.txt").unlink()
    with pytest.raises(ArtifactError, match=r"index.txt: is not there any more; push the recipe again"):
        fetch(remote, made, tmp_path / "other")
    (there / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest.json: damaged; delete it there and push again"):
        remote.find("images", made.key)


def test_a_damaged_artifact_of_the_cache_is_replaced(remote, made, tmp_path):
    remote.push(made)
    damaged = artifact(tmp_path / "other")
    (damaged.folder / "index.txt").unlink()
    assert files(fetch(remote, made, tmp_path / "other").folder) == files(made.folder)


def refusal(url: str) -> str:
    begun = time.monotonic()
    with pytest.raises(RecipeError) as refused:
        Remote(url).json("recipes/shop.json")
    assert time.monotonic() - begun < 9
    return str(refused.value)


def test_what_is_wrong_with_a_store_is_said_within_seconds(s3: S3, monkeypatch):
    assert Remote(s3.url).json("recipes/shop.json") is None
    assert refusal("s3://nobody/mlim") == (
        "s3://nobody/mlim: there is no such bucket; create it, or correct the address"
    )
    assert "s3://Shop_!: not an address that can be used" in refusal("s3://Shop_!")
    assert "expected s3://…, gs://…, file://… or a path" in refusal("what://shop")
    s3.stop()
    assert "s3://shop/mlim/recipes/shop.json: nobody answers (EndpointConnectionError" in refusal(s3.url)


@pytest.fixture
def anew() -> Iterator[None]:
    """No connection is kept from test to test."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def test_no_credentials(s3: S3, anew, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert "found no credentials" in (said := refusal(s3.url)) and "set AWS_ACCESS_KEY_ID and" in said


def test_access_that_is_denied(s3: S3, anew, monkeypatch):
    import s3fs

    async def denied(*args, **kwargs):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(s3fs.S3FileSystem, "_cat_file", denied)
    assert "s3://shop/mlim: access denied (Access Denied); set AWS_ACCESS_KEY_ID" in refusal(s3.url)


@pytest.mark.parametrize(("url", "extra"), [("s3://shop", "s3"), ("gs://shop", "gcs")])
def test_an_extra_that_is_not_installed(url, extra, monkeypatch):
    import fsspec

    def missing(*args, **kwargs):
        raise ImportError("Install it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    assert refusal(url).endswith(f"needs `pip install mlim[{extra}]`")


def test_the_manifest_there_names_no_place_of_ours(remote, made, tmp_path):
    remote.push(made)
    text = (tmp_path / "store" / made.folder.name / "manifest.json").read_text()
    assert str(tmp_path) not in text and json.loads(text)["key"] == made.key
