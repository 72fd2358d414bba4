"""Feeds, pictures, pairs, models and reports in object storage: the same keys and bytes as on disk."""

import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from tests.bucket import S3
from tests.tasks import shop
from workbench.artifacts.key import Digests
from workbench.artifacts.mirror import bring
from workbench.artifacts.store import Artifact, Store
from workbench.cli import app
from workbench.plan import builders, plan_recipe, plan_stages, run_plan, wanted
from workbench.recipe.load import load_recipe, recipe_from_tree
from workbench.recipe.places import path_of, url_of
from workbench.sources import Sources

DATA = ["split", "tokens"]


def upload(s3: S3, folder: Path, below: str) -> None:
    client = s3.client()
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "shop", f"{below}/{path.relative_to(folder).as_posix()}")


def files(artifact: Artifact) -> dict[str, bytes]:
    return {name: artifact.path(name).read_bytes() for name in artifact.files} | {
        "manifest.json": (artifact.folder / "manifest.json").read_bytes()
    }


def made(tree: dict, folder: Path, root: str, cache: Path) -> dict[str, Artifact]:
    """The data of a recipe whose paths begin with `root`."""
    feed = tree["catalog"]["feeds"][0]
    paths = {key: f"{root}/{feed[key]}" for key in ("path", "pictures") if key in feed}
    tree = tree | {"catalog": tree["catalog"] | {"feeds": [feed | paths]}}
    tree["runtime"] = {"cache": str(cache), "scratch": "scratch", "threads": 1}
    recipe = recipe_from_tree(tree, folder)
    run = run_plan(plan_recipe(recipe, DATA), recipe.runtime, shop.quiet())
    return {name: each.artifact for name, each in run.items()}


def pack(folder: Path, name: str) -> None:
    """The pictures into an archive, in place of their folder."""
    pictures = sorted((folder / "pictures").iterdir())
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name, "w") as file:
            for path in pictures:
                file.write(path, path.name)
    else:
        with tarfile.open(folder / name, "w") as tar:
            for path in pictures:
                tar.add(path, path.name)
    for path in pictures:
        path.unlink()


def as_rakuten(folder: Path) -> None:
    lines = (folder / "feed.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    head = ",designation,description,productid,imageid\n"
    (folder / "X_train.csv").write_text(head + "".join(f"{n},{r[2]},,{n},{n}\n" for n, r in enumerate(rows)))
    (folder / "Y_train.csv").write_text(",prdtypecode\n" + "".join(f"{n},{r[3]}\n" for n, r in enumerate(rows)))
    for n, row in enumerate(rows):
        (folder / "pictures" / row[4]).rename(folder / "pictures" / f"image_{n}_product_{n}.jpg")
    (folder / "feed.csv").unlink()


SHAPES: dict[str, tuple[dict[str, object], Callable[[Path], None]]] = {
    "a folder of pictures": ({}, lambda folder: None),
    "a zip": ({"pictures": "all.zip"}, lambda folder: pack(folder, "all.zip")),
    "a tar": ({"pictures": "all.tar"}, lambda folder: pack(folder, "all.tar")),
    "pictures beside the feed": ({"pictures": None}, lambda folder: None),
    "nothing told": ({"pictures": None, "columns": None}, lambda folder: None),
    "a folder as the feed": ({"path": ".", "pictures": None, "columns": None}, lambda folder: None),
    "joined tables": ({"path": "X_train.csv", "pictures": "pictures", "columns": None}, as_rakuten),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_keys_and_bytes_are_those_of_the_same_files_on_disk(s3: S3, tmp_path, monkeypatch, shape):
    monkeypatch.setattr(shop, "PRODUCTS", 6)
    (folder := tmp_path / "june").mkdir()
    shop.build(folder)
    (folder / "pairs.csv").unlink()
    changes, change = SHAPES[shape]
    change(folder)
    upload(s3, folder, "june")
    tree = shop.tree(tmp_path / "cache")
    feed = tree["catalog"]["feeds"][0] | changes
    tree["catalog"]["feeds"] = [{key: value for key, value in feed.items() if value}]
    here = made(tree, tmp_path, str(folder), tmp_path / "here")
    there = made(tree, tmp_path, "s3://shop/june", tmp_path / "there")
    assert {name: a.key for name, a in here.items()} == {name: a.key for name, a in there.items()}
    for name in here:
        assert files(here[name]) == files(there[name]), name
    assert pl.read_parquet(here["ingest"].path("items.parquet")).height == 12
    assert here["images"].summary["present"] == 12


def mlim(*args: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


def objects(s3: S3, below: str = "") -> dict[str, bytes]:
    client = s3.client()
    names = [found["Key"] for found in client.list_objects_v2(Bucket="shop", Prefix=below).get("Contents", [])]
    return {name: client.get_object(Bucket="shop", Key=name)["Body"].read() for name in names}


@pytest.fixture
def june(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small shop, also at s3://shop/june; copies lie in the test's own folder, in which commands run."""
    monkeypatch.setattr(shop, "PRODUCTS", 12)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "june").mkdir()
    shop.build(folder)
    upload(s3, folder, "june")
    return folder


def test_a_bare_feed_and_its_report_where_people_look_for_it(s3: S3, june, tmp_path):
    said = mlim(
        "verify", "s3://shop/june/feed.csv", "--set", "runtime.reports=s3://shop/pages", "--set", "images.side=16"
    )
    assert "path: s3://shop/june/feed.csv\n" in said
    assert "pictures: s3://shop/june\n" in said
    assert "\ncensus: s3://shop/pages/feed/catalog.html\n" in said
    assert str(tmp_path / "caches") not in said
    assert (tmp_path / ".mlim").is_dir()
    sent = objects(s3, "pages/")
    assert {"pages/feed/catalog.html", "pages/feed/fixes.csv"} <= set(sent)
    folder = tmp_path / "caches/mlim/written.mlim/s3/shop/pages"
    assert {f"pages/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in folder.rglob("*.*")} == sent


def test_copies_are_told_of_but_not_quietly(s3: S3, june, tmp_path):
    def stderr(scratch: str, *flags: str) -> str:
        command = ["ingest", "s3://shop/june/feed.csv", *flags]
        return CliRunner().invoke(app, command, env={"XDG_CACHE_HOME": str(tmp_path / scratch)}).stderr

    assert stderr("one").startswith("copying 1 file, ")
    assert stderr("two", "--quiet") == stderr("three", "--quiet", "--json") == ""


def test_what_is_not_there(s3: S3, june):
    said = mlim("ingest", "s3://shop/june/may.csv", code=2)
    assert (
        said
        == "error: s3://shop/june/may.csv: no such file or folder; give the path of a feed or of a recipe (.yaml)\n"
    )
    assert "s3://mall: there is no such bucket" in mlim("ingest", "s3://mall/feed.csv", code=2)
    assert "expected a path, or an address in an object store" in mlim("ingest", "https://acme.com/feed.csv", code=2)
    (june / "shop.yaml").write_text("catalog: {feeds: [{path: s3://shop/june/may.csv}]}")
    assert "catalog.feeds.0.path: s3://shop/june/may.csv: No such file" in mlim("plan", june / "shop.yaml", code=2)
    where = ("--set", "runtime.reports=s3://mall/pages")
    assert "s3://mall/pages/shop: there is no such bucket" in mlim("verify", june / "shop.yaml", *where, code=2)


def test_an_out_that_is_a_folder_is_there_wholly_and_never_written_over(s3: S3, june, tmp_path):
    (june / "shop.yaml").write_text(yaml.safe_dump(shop.tree(tmp_path / "cache")))
    mlim("shards", june / "shop.yaml", tmp_path / "here", "--as", "webdataset")
    left = tmp_path / "caches/mlim/written.mlim/s3/shop/out/shards/left by a killed run"
    left.mkdir(parents=True)
    there = mlim("shards", june / "shop.yaml", "s3://shop/out/shards", "--as", "webdataset")
    assert "s3://shop/out/shards" in there
    assert objects(s3, "out/") == {
        f"out/shards/{p.relative_to(tmp_path / 'here').as_posix()}": p.read_bytes()
        for p in (tmp_path / "here").rglob("*.*")
    }
    assert not list(left.parent.parent.iterdir())
    again = mlim("shards", june / "shop.yaml", "s3://shop/out/shards", "--as", "webdataset", code=2)
    assert again.startswith("error: s3://shop/out/shards: is there already")
    assert "s3://shop: is a whole bucket" in mlim(
        "shards", june / "shop.yaml", "s3://shop", "--as", "webdataset", code=2
    )


def test_what_a_recipe_writes_beside_its_pictures_is_none_of_them(s3: S3, june, tmp_path):
    tree = shop.tree(tmp_path / "cache")
    feed = tree["catalog"]["feeds"][0]
    tree["catalog"]["feeds"] = [{"path": "s3://shop/june/feed.csv", "columns": feed["columns"]}]
    tree["runtime"]["reports"] = "s3://shop/june/reports"
    (june / "shop.yaml").write_text(yaml.safe_dump(tree))
    assert "census: s3://shop/june/reports/shop/catalog.html" in mlim("verify", june / "shop.yaml")
    bring(path_of("s3://shop/june", tmp_path / "caches/mlim"))  # as another recipe, or a worker, may do
    assert (tmp_path / "caches/mlim/objects.mlim/s3/shop/june/reports/shop/catalog.html").exists()
    assert "nothing to do" in mlim("verify", june / "shop.yaml")


def test_whatever_else_a_recipe_names_gives_the_same_keys(s3: S3, june, tmp_path):
    config = {"model_type": "bert", "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    texts = {
        "bert/config.json": json.dumps(config | {"max_position_embeddings": 64}),
        "bert/model.safetensors": "weights",
        "bert/vocab.txt": "[PAD]",
        "words/tokenizer.json": "{}",
        "cache/pretrain-0/model.safetensors": "saved",
        "labels.csv": "id,use\nL0,home\n",
    }
    for name, text in texts.items():
        (tmp_path / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "more" / name).write_text(text)
    upload(s3, tmp_path / "more", "more")

    def keys(more: str, below: str, changes: dict) -> dict[str, str]:
        tree = shop.tree(tmp_path / "cache", match={"pairs": f"{below}/pairs.csv"}) | changes
        tree["catalog"] = {"feeds": [{"path": f"{below}/feed.csv", "pictures": f"{below}/pictures"}]}
        tree["finetune"]["classify"] = {"label": "use", "labels": f"{more}/labels.csv"}
        tree["tokens"]["tokenizer"] = f"{more}/words"
        tree["model"] = {"image_side": 16, "patch": 8} | {key: f"{more}/{name}" for key, name in tree["model"].items()}
        tree["finetune"]["baselines"] = {"embeddings": [f"{more}/bert", "a/name-on-the-hub"]}
        tree["probes"] = tree["audit"] = {"checkpoint": f"{more}/cache/pretrain-0"}
        tree["runtime"] = {"cache": f"{more}/cache"}
        recipe = recipe_from_tree(tree, tmp_path)
        stages = wanted(builders(recipe, Sources(recipe, Digests(tmp_path / "digests.json"))), ["report"])
        return {step.stage.name: step.key for step in plan_stages(stages, Store(tmp_path / "none"))}

    for model in ({"bert": "bert"}, {"checkpoint": "cache/pretrain-0"}):
        here = keys(str(tmp_path / "more"), str(june), {"model": model})
        assert keys("s3://shop/more", "s3://shop/june", {"model": model}) == here
        assert {"ingest", "match", "classify", "pretrain", "probes"} <= here.keys()


def test_a_recipe_extends_one_there(s3: S3, june, tmp_path):
    (june / "base.yaml").write_text(yaml.safe_dump(shop.tree(tmp_path / "cache")))
    (june / "mine.yaml").write_text("name: mine\nextends: ./base.yaml\nimages: {side: 8}\n")
    (june / "lost.yaml").write_text("extends: lost/base.yaml\n")
    (june / "web.yaml").write_text("extends: https://acme.com/base.yaml\n")
    upload(s3, june, "june")
    (june / "here.yaml").write_text("name: mine\nextends: s3://shop/june/base.yaml\nimages: {side: 8}\n")
    (june / "base.yaml").unlink()
    plans = [mlim("plan", path) for path in ("s3://shop/june/mine.yaml", june / "here.yaml")]
    assert plans[0] == plans[1] and "ingest" in plans[0]
    lost = mlim("plan", "s3://shop/june/lost.yaml", code=2)
    assert "lost.yaml, line 1: extends: s3://shop/june/lost/base.yaml: No such file" in lost
    assert "line 1: extends: expected a path, or an address in an obj" in mlim("plan", june / "web.yaml", code=2)


def test_a_recipe_is_written_for_a_feed_there(s3: S3, june, tmp_path):
    said = mlim("init", "s3://shop/june/feed.csv", "--yes")
    assert said.startswith("s3://shop/june/feed.csv: comma-separated")
    assert "24 were tried: 24 found" in said
    (feed,) = load_recipe(tmp_path / "feed.yaml").catalog.feeds
    assert url_of(feed.path) == "s3://shop/june/feed.csv"
