"""A recipe whose data was pushed, trained on a machine that has neither its feeds nor its pictures."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.bucket import S3
from tests.tasks import shop
from workbench.artifacts.store import Artifact
from workbench.cli import app
from workbench.images.stream import note_of_limit

WHERE = "catalog.feeds.0.pictures, catalog.feeds.0.path not here: taken as pushed on 20"
CENSUS = ("ingest", "images", "duplicates", "split", "tokens")


def mlim(*args: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


def write(folder: Path, pairs: bool = False, **runtime: object) -> Path:
    """The recipe in a folder of its own, as on another machine; shards of twenty listings."""
    folder.mkdir(exist_ok=True)
    tree = shop.tree(folder / "cache")
    tree["images"]["shard_pictures"] = 20
    tree["runtime"] |= {"reports": str(folder / "reports"), **runtime}
    (folder / "shop.yaml").write_text(yaml.safe_dump(tree))
    return folder / "shop.yaml"


def artifact(folder: Path, stage: str) -> Artifact:
    return Artifact.open(next(p for p in (folder / "cache").glob(f"{stage}-*") if p.suffix in ("", ".streamed")))


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The machine that has the data, trained there; and what it pushed, in `store`."""
    folder = tmp_path_factory.mktemp("streaming") / "origin"
    folder.mkdir()
    shop.build(folder)
    mlim("pretrain", write(folder))
    mlim("push", folder / "shop.yaml", folder / "store")
    return folder


def other(tmp_path: Path, origin: Path, **runtime: object) -> Path:
    return write(tmp_path / "other", remote=str(origin / "store"), **runtime)


def largest(origin: Path) -> int:
    files = artifact(origin, "images").files
    return max(int(files[name]["bytes"]) for name in files if name.startswith("shard-0"))


def test_over_s3_training_gives_the_same_losses_and_weights(s3: S3, origin, tmp_path):
    first = mlim("push", origin / "shop.yaml", s3.url)
    assert "images\t9 files sent\t" in first and first.endswith(f"set runtime.remote to {s3.url} where you train\n")
    assert "images\t0 files sent\t0 bytes\t9 there\n" in mlim("push", origin / "shop.yaml", s3.url)
    recipe = write(tmp_path / "other", remote=s3.url, remote_bytes=2 * largest(origin))
    told = mlim("plan", recipe)
    assert f"\tto fetch\tat {s3.url}; {WHERE}" in told
    assert "; 6 files of it (8e-05 GB) are taken when they are needed; catalog.feeds.0.pictures not here" in told
    assert "5 of 9 stages to fetch, 4 of 9 stages to run" in told
    ran = mlim("pretrain", recipe)
    assert "images\t" in ran and "\tfetched\t" in ran
    assert shop.contents(artifact(tmp_path / "other", "pretrain")) == shop.contents(artifact(origin, "pretrain"))
    folder = tmp_path / "other/cache/streamed"
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 2 * largest(origin)
    assert "nothing to do" in mlim("pretrain", recipe, "--set", f"runtime.remote={s3.url}/")


def test_tasks_and_pages_read_streamed_pictures_too(origin, tmp_path):
    recipe = other(tmp_path, origin, remote_bytes=2 * largest(origin))
    mlim("verify", recipe)
    there, here = artifact(tmp_path / "other", "census"), tmp_path / "origin"
    mlim("verify", origin / "shop.yaml", "--set", f"runtime.reports={here}")
    assert there.files == artifact(origin, "census").files
    for home in (origin, recipe.parent):
        mlim("shards", home / "shop.yaml", tmp_path / f"{home.name}.tars", "--as", "webdataset")
    tars = [
        sorted((p.name, p.read_bytes()) for p in (tmp_path / n).glob("*.tar")) for n in ("origin.tars", "other.tars")
    ]
    assert tars[0] and tars[0] == tars[1]
    shutil.copy(origin / "pairs.csv", recipe.parent)
    match = "finetune.match={pairs: pairs.csv, pretrained: {epochs: 1}, scratch: null}"
    said = mlim("finetune", recipe, "--set", match.replace("pairs.csv", str(recipe.parent / "pairs.csv")))
    assert said.count("each is fetched again and again; raise that\n") == 1  # has no windows


def test_shards_deleted_here_are_taken_from_there(origin, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(origin, home)
    for path in (home / "cache").glob("images-*/shard-*.bin"):
        path.unlink()
    shutil.rmtree(next((home / "cache").glob("pretrain-*[0-9a-f]")))
    recipe = write(home)
    assert "shard-00000.bin: missing or of another size" in mlim("pretrain", recipe, code=1)
    recipe = write(home, remote=str(origin / "store"))
    assert "not here" not in mlim("plan", recipe)
    mlim("pretrain", recipe)
    assert shop.contents(artifact(home, "pretrain")) == shop.contents(artifact(origin, "pretrain"))


def test_a_file_that_is_here_counts_itself(origin, tmp_path):
    recipe = other(tmp_path, origin)
    feed = (origin / "feed.csv").read_bytes()
    (recipe.parent / "feed.csv").write_bytes(feed)
    told = mlim("plan", recipe)  # the same feed; its pictures are not here
    assert "catalog.feeds.0.pictures not here" in told and "catalog.feeds.0.path" not in told
    assert "\tto run\t" not in told.split("pretrain")[0]
    (recipe.parent / "feed.csv").write_bytes(feed.replace(b"red mug", b"rot mug"))
    said = mlim("plan", recipe, code=2)
    assert "catalog.feeds.0.pictures: " in said and "is not on this machine, and" in said
    assert "has no such ingest of it (catalog.feeds.0.path: content changed)" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("images.side=32", "no such images of it (images.side: 16 -> 32); push this recipe from where the data is"),
        ("catalog.same_id=fail", 'ingest of it (catalog.same_id: "keep first" -> "fail")'),
        ("catalog.feeds.0.columns.title=id", "was pushed on 20.* from a recipe that differs in its columns; push"),
        ("catalog.feeds.0.path=fed.csv", r"catalog.feeds.0.path: .*fed.csv: No such file .*, or push shop to .*store"),
    ],
)
def test_what_was_pushed_of_another_recipe_is_not_taken(origin, tmp_path, change, said):
    found = mlim("pretrain", other(tmp_path, origin), "--set", change, code=2)
    assert re.search(said.replace("(", r"\(").replace(")", r"\)") if "20.*" not in said else said, found), found


def test_what_needs_no_source_is_made_here(origin, tmp_path):
    told = mlim("plan", other(tmp_path, origin), "--set", "catalog.split.seed=1")
    states = dict(re.findall(r"^(\w+)\t\w+\t([a-z ]+)\t", told, re.M))
    assert [states[s] for s in ("ingest", "images", "duplicates", "split", "tokens")] == [
        *["to fetch"] * 3,
        *["to run"] * 2,
    ]
    mlim("pretrain", other(tmp_path, origin), "--set", "catalog.split.seed=1")


def test_a_database_that_can_t_be_reached(tmp_path):
    import duckdb

    tree = shop.tree(tmp_path / "a") | {"name": "shop"}
    lines = [f"('{i}', '{colour} mug')" for i, colour in enumerate(shop.COLOURS * 3)]
    with duckdb.connect(str(tmp_path / "shop.db")) as database:
        database.execute(f"create table t as select * from (values {', '.join(lines)}) as t(id, title)")
    columns = {"id": "id", "title": "title"}
    feed = {"database": f"duckdb://{tmp_path}/shop.db", "query": "select * from t order by id", "columns": columns}
    tree["catalog"]["feeds"] = [feed]
    recipe = tmp_path / "shop.yaml"
    recipe.write_text(yaml.safe_dump(tree))
    mlim("push", recipe, tmp_path / "store")
    (tmp_path / "shop.db").unlink()
    there = ("--set", f"runtime.cache={tmp_path}/b", "--set", f"runtime.remote={tmp_path}/store")
    assert "ingest\t" in (told := mlim("plan", recipe, *there)) and "catalog.feeds.0 not here: taken as pushed" in told
    assert "5 of 9 stages to fetch" in told
    assert "catalog.feeds.0: a database is not on this machine" in mlim(
        "plan", recipe, *there, "--set", "catalog.same_id=fail", code=2
    )


def test_a_recipe_that_was_not_pushed(origin, tmp_path):
    recipe = write(tmp_path / "other", remote=str(tmp_path / "nothing"))
    assert "No such file or directory; correct the path in the recipe, or push shop to" in mlim("plan", recipe, code=2)
    assert "runtime.remote: " in mlim("plan", write(tmp_path / "other", remote="bucket/mlim"), code=2)


def test_remote_is_no_part_of_a_key(origin):
    recipe = write(origin, remote=str(origin / "store"), remote_bytes=123_456)
    assert "nothing to do" in mlim("pretrain", recipe)
    write(origin)


def test_the_limit_that_makes_training_fetch_again_and_again_is_told(origin, tmp_path):
    recipe = other(tmp_path, origin, remote_bytes=3 * largest(origin))
    said = mlim("pretrain", recipe)
    assert "note: 6 shards are read side by side (8e-05 GB), and runtime.remote_bytes keeps" in said
    assert "set pretrain.sampling.window to 1" in said and said.count("note:") == 1
    assert "note:" not in mlim("pretrain", recipe, "--set", "pretrain.sampling.window=3")
    assert "note:" not in mlim("pretrain", recipe, "--set", "runtime.remote_bytes=999999", "--set", "pretrain.seed=3")
    assert note_of_limit(artifact(origin, "images"), None) == ""
