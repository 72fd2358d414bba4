"""Pictures made by another process, which knows of them only what is sent to it: the same bytes."""

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apart import Apart
from tests.bucket import S3
from tests.images.conftest import Shop, encoded, plaid
from workbench.artifacts.key import Digests
from workbench.artifacts.mirror import bring
from workbench.errors import DataError
from workbench.images import entry
from workbench.images import store as store_module
from workbench.images.origin import open_pictures
from workbench.recipe.places import path_of
from workbench.recipe.schema import Images

IMAGES = Images(side=16, shard_pictures=10)
PICTURES = {f"{i:02}.png": encoded(plaid(20 + i, 30, i)) for i in range(24)} | {"a.png": b"", "b.png": b"no picture"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def ours(shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(store_module, "TOGETHER", 4)
    return shop(PICTURES, [*([name, "00.png"] for name in PICTURES), "none.png", None])


@pytest.mark.parametrize("use", ["main", "all"])
def test_a_folder(ours: Shop, use: str) -> None:
    images = IMAGES.model_copy(update={"use": use})
    here, summary = ours.run(images, "here")
    there, again = ours.run(images, "there", executor=Apart(2))
    assert content(there) == content(here) and again == summary


def test_an_archive(ours: Shop, tmp_path: Path) -> None:
    ours.place = tmp_path / "pictures.zip"
    with zipfile.ZipFile(ours.place, "w") as packed:
        for name, data in PICTURES.items():
            packed.writestr(name, data)
    assert content(ours.run(IMAGES, "there", executor=Apart(2))[0]) == content(ours.run(IMAGES, "here")[0])


def test_what_is_known_is_not_made_again(ours: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = IMAGES.model_copy(update={"use": "all"})
    digests = Digests(tmp_path / "digests.json")
    digests.of(ours.place)
    before, _ = ours.run(images, "before", digests=digests)
    now = PICTURES | {"03.png": encoded(plaid(40, 40, 99))}
    (ours.place / "03.png").write_bytes(now["03.png"])
    whole, _ = ours.run(images, "whole")
    digests.of(ours.place)
    made, make = list[bytes](), entry.made_of
    monkeypatch.setattr(entry, "made_of", lambda source, *how: made.append(source.data) or make(source, *how))
    again, _ = ours.run(images, "again", earlier=before, digests=digests, executor=Apart(2))
    assert content(again) == content(whole)
    assert set(made) == {now[name] for name in ("03.png", "a.png", "b.png")}  # what was broken is tried again


def test_another_folder_of_that_name_is_told(ours: Shop) -> None:
    sight = pickle.loads(pickle.dumps(open_pictures(ours.place, "catalog.feeds.0.pictures").sight()))
    assert sight.open().read("00.png") == PICTURES["00.png"]
    for path in ours.place.iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"catalog\.feeds\.0\.pictures: .*: \w+\.png is not in the folder as this"):
        sight.open()
    ours.place.rmdir()
    with pytest.raises(DataError, match=r"catalog\.feeds\.0\.pictures: .* is not in the folder"):
        sight.open()


def test_what_lies_in_object_storage_is_copied_there(s3: S3, tmp_path: Path) -> None:
    s3.client().put_object(Bucket="shop", Key="june/1.png", Body=PICTURES["01.png"])
    place = path_of("s3://shop/june", tmp_path / "scratch")
    bring(place)
    sight = open_pictures(place, "catalog.feeds.0.pictures").sight()
    shutil.rmtree(tmp_path / "scratch")  # as on a machine that has none of it
    assert sight.open().read("1.png") == PICTURES["01.png"]
