"""The cache in an object store, from the command line: several machines, one of them lost midway."""

import shutil
from pathlib import Path

import yaml
from s3fs import S3FileSystem
from typer.testing import CliRunner

from tests.bucket import S3
from tests.catalog.web import Web, answer, serving
from tests.tasks import shop, stops
from workbench.artifacts.bucket import Bucket
from workbench.artifacts.store import Artifact
from workbench.cli import app
from workbench.train import loop


def mlim(*args: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result.output


def machine(tmp_path: Path, name: str, cache: str) -> Path:
    """A recipe on a machine of its own, which has the feed."""
    folder = tmp_path / name
    folder.mkdir()
    shop.build(folder)
    tree = shop.tree(folder / "cache")
    tree["runtime"] |= {"cache": cache, "scratch": str(folder / "scratch"), "reports": str(folder / "reports")}
    (folder / "shop.yaml").write_text(yaml.safe_dump(tree))
    return folder / "shop.yaml"


def artifacts(root: Path) -> dict[str, Artifact]:
    return {a.stage: a for a in map(Artifact.open, (p.parent for p in root.glob("*/manifest.json")))}


def copies(recipe: Path) -> dict[str, Artifact]:
    return artifacts(next(recipe.parent.glob("scratch/written.mlim/s3/shop/mlim")))


def test_machines_that_share_a_cache_make_what_one_alone_makes(s3: S3, tmp_path, monkeypatch):
    alone, one = machine(tmp_path, "alone", str(tmp_path / "cache")), machine(tmp_path, "one", s3.url)
    mlim("pretrain", alone)
    expected = {stage: a.files for stage, a in artifacts(tmp_path / "cache").items()}
    stops.stop_after(monkeypatch, loop, 3)
    mlim("pretrain", one, code=1)
    shutil.rmtree(one.parent)  # the machine is lost, with all that isn't in the store
    two = machine(tmp_path, "two", s3.url)
    assert mlim("plan", two).count(f"\tto fetch\tat {s3.url}") == 5
    said = mlim("pretrain", two)
    assert f"step-00000003-of-00000004 is taken from {s3.url}/checkpoints" in said
    assert {stage: a.files for stage, a in copies(two).items()} == expected
    three = machine(tmp_path, "three", s3.url)
    said = mlim("pretrain", three)
    assert said.count("\tfetched\t") == 6 and "\tmade\t" not in said
    assert {stage: a.files for stage, a in copies(three).items()} == expected
    assert "nothing to do" in mlim("pretrain", three)
    assert not [name for name in Bucket(s3.url).sizes("") if name.endswith((".lock", "pushing.json"))]


def test_credentials_that_may_only_read(s3: S3, tmp_path, monkeypatch):
    mlim("shards", machine(tmp_path, "one", s3.url), tmp_path / "one.tars", "--as", "webdataset")
    there = Bucket(s3.url).sizes("")
    two = machine(tmp_path, "two", s3.url)
    for name, value in s3.reader().items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # of which each has its credentials
    monkeypatch.setattr("moto.core.responses.ActionAuthenticatorMixin.request_count", 0)
    monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)
    said = mlim("shards", two, tmp_path / "two.tars", "--as", "webdataset")
    assert said.count(f"{s3.url} may be read only: what is there is taken, and nothing noted") == 1
    assert said.count("\tfetched\t") == 4
    said = mlim("pretrain", two, code=2)
    assert f"runtime.cache: tokens has to be made, and can't be kept: {s3.url}: access denied" in said
    assert f"or give runtime.cache a folder, and runtime.remote {s3.url}, from where the data is then taken" in said
    assert Bucket(s3.url).sizes("") == there
    cache = ("--set", f"runtime.cache={tmp_path / 'cache'}", "--set", f"runtime.remote={s3.url}")
    said = mlim("shards", two, tmp_path / "three.tars", "--as", "webdataset", *cache)
    assert said.count("\tfetched\t") == 4


def test_downloaded_pictures_are_shared_too(s3: S3, tmp_path):
    with serving(Web()) as web:
        made = []
        for name in ("one", "two"):
            recipe = machine(tmp_path, name, s3.url)
            feed, pictures = recipe.parent / "feed.csv", recipe.parent / "pictures"
            for picture in pictures.iterdir():
                web.answers[f"/{picture.name}"] = answer(picture.read_bytes())
                picture.unlink()
            rows = [line.split(",") for line in feed.read_text().splitlines()]
            rows = [[*row[:4], web.url(f"/{row[4]}") if i else row[4], row[5]] for i, row in enumerate(rows)]
            feed.write_text("\n".join(map(",".join, rows)))
            fetch = f"fetch={{allow_hosts: ['127.0.0.1:{web.port}'], pace: {{per_second: 1000.0}}}}"
            side = f"images.side={16 if name == 'one' else 8}"  # made anew, of the same pictures
            mlim("shards", recipe, tmp_path / f"{name}.tars", "--as", "webdataset", "--set", fetch, "--set", side)
            made.append(copies(recipe))
            asked = len(web.asked)
        assert made[0]["fetch"].files == made[1]["fetch"].files and len(web.asked) == asked == 120
