"""A model, a feed and its pictures, and the answers, all in object storage."""

from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from tests.bucket import S3
from tests.test_object_storage import objects, upload
from workbench import Recipe, load_model
from workbench.cli import app
from workbench.errors import DataError, MlimError
from workbench.recipe.load import to_yaml
from workbench.recipe.places import url_of

MODEL, FEED, PICTURES = "s3://shop/models/kind", "s3://shop/june/feed.csv", ("--pictures", "s3://shop/june/pictures")


def mlim(*args: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


@pytest.fixture
def bucket(s3: S3, sold: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    upload(s3, sold.model, "models/kind")
    upload(s3, sold.folder / "pictures", "june/pictures")
    s3.client().upload_file(str(sold.folder / "feed.csv"), "shop", "june/feed.csv")
    return s3


def test_answers_are_those_of_the_same_files_on_disk(bucket: S3, sold: Any, tmp_path: Path):
    out = tmp_path / "answers.csv"
    mlim(
        "predict",
        sold.model,
        sold.folder / "feed.csv",
        out,
        "--pictures",
        sold.folder / "pictures",
        "--task",
        "classify",
    )
    said = mlim("predict", MODEL, FEED, "s3://shop/out/answers.csv", *PICTURES, "--task", "classify")
    assert "\nanswers: s3://shop/out/answers.csv\n" in said
    assert str(tmp_path) not in said
    assert objects(bucket, "out/") == {
        "out/answers.csv": out.read_bytes(),
        "out/answers.csv.drops.csv": (tmp_path / "answers.csv.drops.csv").read_bytes(),
    }
    assert not list((tmp_path / "caches/mlim/written.mlim/s3/shop/out").iterdir())


def test_an_index_there_is_searched(bucket: S3):
    assert "mlim search s3://shop/models/kind s3://shop/out/points.parquet.index" in mlim(
        "embed", MODEL, FEED, "s3://shop/out/points.parquet", "--index"
    )
    found = mlim("search", MODEL, "s3://shop/out/points.parquet.index", "--text", "red lamp", "-k", "3")
    assert len(found.splitlines()) == 3


def test_a_model_is_exported_there_from_there(bucket: S3, sold: Any, tmp_path: Path):
    mlim("export", sold.model, tmp_path / "kind")
    said = mlim("export", MODEL, "s3://shop/exported/kind")
    assert "\nmodel: s3://shop/exported/kind\n" in said and str(tmp_path) not in said
    here = {f"exported/kind/{p.relative_to(tmp_path / 'kind')}": p for p in (tmp_path / "kind").rglob("*.*")}
    there = objects(bucket, "exported/")
    assert there == {name: path.read_bytes() for name, path in here.items()}
    again = mlim("export", MODEL, "s3://shop/exported/kind", code=2)
    assert "s3://shop/exported/kind: is there already" in again


def test_from_python(bucket: S3, sold: Any):
    here, there = (load_model(place, device="cpu", threads=1, quiet=True) for place in (str(sold.model), MODEL))
    feed = here.predict(sold.folder / "feed.csv", pictures=sold.folder / "pictures")
    assert_frame_equal(there.predict(FEED, pictures=PICTURES[1]).table, feed.table)
    text = to_yaml(sold.tree | {"runtime": {"cache": "s3://shop/cache"}})
    bucket.client().put_object(Bucket="shop", Key="june/shop.yaml", Body=text.encode())
    bucket.client().upload_file(str(sold.folder / "other.csv"), "shop", "june/other.csv")
    recipe = Recipe.load("s3://shop/june/shop.yaml", name="june")
    assert url_of(recipe.settings.catalog.feeds[0].path) == FEED
    assert recipe.run("tokens", quiet=True)["tokens"].artifact.key == sold.made["tokens"].key
    for missing in ("s3://shop/june/no.yaml", "s3://shop/no"):
        with pytest.raises(MlimError, match="no"):
            Recipe.load(missing)
    with pytest.raises(DataError, match="s3://shop/no: no such folder"):
        load_model("s3://shop/no")


def test_what_would_be_lost_and_what_cannot_be_written_are_told_first(bucket: S3):
    lost = mlim("predict", MODEL, FEED, FEED, code=2)
    assert lost.endswith(f"error: {FEED}: is what is read, and would be lost; give the name of a new file\n")
    nowhere = mlim("predict", MODEL, FEED, "s3://mall/out.csv", code=2)
    assert "error: s3://mall: there is no such bucket" in nowhere
