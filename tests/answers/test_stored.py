"""A model, a feed and its pictures, and the answers, all in object storage."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.bucket import S3
from tests.test_object_storage import objects, upload
from workbench.cli import app

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


def test_what_would_be_lost_and_what_cannot_be_written_are_told_first(bucket: S3):
    lost = mlim("predict", MODEL, FEED, FEED, code=2)
    assert lost.endswith(f"error: {FEED}: is what is read, and would be lost; give the name of a new file\n")
    nowhere = mlim("predict", MODEL, FEED, "s3://mall/out.csv", code=2)
    assert "error: s3://mall: there is no such bucket" in nowhere
