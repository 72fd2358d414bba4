"""A cache is looked at, cleared and verified, on a disk and in an object store; what runs, and what it needs, stays."""

import json
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from tests.report import trouble
from workbench.artifacts.key import key_of
from workbench.artifacts.shared import Shared
from workbench.artifacts.store import Artifact, Away, Store
from workbench.artifacts.uses import using
from workbench.cache import asked
from workbench.cache.clear import Rule, choose, clear, find
from workbench.cache.contents import contents
from workbench.cache.place import Here, place_of
from workbench.cache.thing import File, Thing
from workbench.cache.verify import noted, verify
from workbench.cli import app
from workbench.errors import RecipeError

NOW = time.time()


def make(store: Store, stage: str, *inputs: Artifact, content: bytes = b"12345") -> Artifact:
    of = {"stage": stage, "version": 1, "section": {}, "inputs": {a.stage: a.key for a in inputs}, "sources": {}}
    key = key_of(of)
    with store.making(stage, key) as folder:
        (folder / ("fetched.parquet" if stage == "fetch" else "data")).write_bytes(content)
        artifact = store.commit(stage, of, {})
        store.share(artifact)
    return artifact


def parquet(folder: Path, *digests: str) -> bytes:
    pl.DataFrame({"sha256": digests}, {"sha256": pl.String}).write_parquet(folder / "t.parquet")
    return (folder / "t.parquet").read_bytes()


@pytest.fixture(params=["here", "there"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "here":
        return Store(tmp_path / "cache")
    return Shared(tmp_path / "cache", Away(request.getfixturevalue("s3").url, 1000))


def chain(store: Store) -> list[Artifact]:
    """ingest <- images <- pretrain"""
    ingest = make(store, "ingest")
    images = make(store, "images", ingest)
    return [ingest, images, make(store, "pretrain", ingest, images, content=b"weights")]


def name(artifact: Artifact) -> str:
    return f"{artifact.stage}-{artifact.key[:16]}"


def test_what_lies_there_what_needs_what_and_whose_it_is(store):
    made = chain(store)
    with using(store, "shop", [name(each) for each in made[:2]]):
        pass
    found = {thing.name: thing for thing in contents(place_of(store))}
    assert {thing.kind for thing in found.values()} == {"artifact"}
    ingest, images = name(made[0]), name(made[1])
    assert [{*found[name(each)].needs} for each in made] == [set(), {ingest}, {ingest, images}]
    assert [found[name(each)].recipes for each in made] == [("shop",), ("shop",), ()]
    assert all(len(thing.files) == 2 and thing.bytes > 200 and not thing.running for thing in found.values())
    assert all(abs(thing.used - time.time()) < 60 for thing in found.values())


def test_what_no_recipe_needs_goes_and_all_that_it_needs_stays(store):
    ingest, images, pretrain = chain(store)
    other = make(store, "tokens", ingest)
    rule = Rule(kept=frozenset({name(images)}))
    gone = {each.thing.name for each in clear(place_of(store), rule)}
    assert gone == {name(other), name(pretrain)}
    assert {thing.name for thing in contents(place_of(store))} == {name(ingest), name(images)}
    assert store.find("images", images.key) and not store.find("pretrain", pretrain.key)


def test_who_runs_keeps_what_he_uses(store):
    ingest, images, pretrain = chain(store)
    other = make(store, "tokens", ingest)
    with using(store, "shop", [name(pretrain), name(images), name(ingest)]), store.locked(name(pretrain)):
        assert {thing.name for thing in contents(place_of(store)) if thing.running} == {
            *map(name, (ingest, images, pretrain))
        }
        assert [each.thing.name for each in clear(place_of(store), Rule(older=0.0))] == [name(other)]
    with store.locked("split-0123456789abcdef"):  # an mlim that keeps no record
        (store.root / "split-0123456789abcdef.partial").mkdir()
        (store.root / "split-0123456789abcdef.partial" / "split.parquet.tmp").touch()
        gone = clear(place_of(store), Rule(older=0.0))
        assert gone == [] or isinstance(store, Shared)  # where what is unfinished is not there
    clear(place_of(store), Rule(older=0.0))
    assert contents(place_of(store)) == []


def test_pictures_that_no_fetch_names_go(store, tmp_path):
    a, b = (sha256(content).hexdigest() for content in (b"a", b"b"))
    fetch = make(store, "fetch", content=parquet(tmp_path, a))
    for content, digest in ((b"a", a), (b"b", b)):
        path = store.root / "pictures" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if store.bucket:
            store.bucket.write(f"pictures/{digest[:2]}/{digest}", content)
    with using(store, "shop", [name(fetch)]), store.locked(name(fetch)):
        assert find(place_of(store), Rule()) == []
    (going,) = clear(place_of(store), Rule())
    assert list(going.thing.files) == [f"pictures/{b[:2]}/{b}"] and going.why == "no fetch names them"
    (pictures,) = [thing for thing in contents(place_of(store)) if thing.kind == "pictures"]
    assert list(pictures.files) == [f"pictures/{a[:2]}/{a}"]


def test_damage_is_found(store):
    made = chain(store)
    place = place_of(store)
    files, damaged = noted(place, contents(place))
    assert damaged == [] and list(verify(place, files, lambda well: None)) == [] and len(files) == 3
    for artifact, content in zip(made, (b"12354", b"1234", None), strict=True):
        write(store, f"{name(artifact)}/data", content)
    write(store, f"{name(make(store, 'tokens'))}/manifest.json", b"{")
    files, damaged = noted(place, contents(place))
    found = [*damaged, *verify(place, files, lambda well: None)]
    assert {each.thing.partition("-")[0]: each.what.partition(" (")[0] for each in found} == {
        "tokens": "unreadable",
        "ingest": "its bytes changed",
        "images": "4 bytes, expected 5",
        "pretrain": "missing",
    }


def write(store: Store, file: str, content: bytes | None) -> None:
    """Behind its back."""
    if store.bucket and content is None:
        store.bucket.delete(file)
    elif store.bucket:
        store.bucket.write(file, content)
    path = store.root / file
    path.chmod(0o644)
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def thing(base: str, used: float, size: int = 10, needs: tuple[str, ...] = (), **how: Any) -> Thing:
    return Thing(base, how.pop("kind", "artifact"), {f"{base}/x": File(size, used)}, needs, used=NOW - used, **how)


def chosen(things: list[Thing], **rule: Any) -> list[str]:
    return [going.thing.name for going in choose(things, Rule(**rule), NOW)]


def test_what_was_used_longest_ago_goes_first_but_nothing_that_something_left_needs():
    things = [
        thing("a", 90),
        thing("b", 80, needs=("a",)),
        thing("c", 70, needs=("b", "a")),
        thing("d", 60),
        thing("models/c", 5, needs=("c",), kind="model"),
        thing("e.partial", 75, kind="unfinished"),
    ]
    assert chosen(things) == []
    assert chosen(things, older=65) == ["e.partial"]  # c's model was used just now
    assert chosen(things, older=55) == ["e.partial", "d"]
    assert chosen(things, most=60) == []
    assert chosen(things, most=45) == ["e.partial", "d"]
    assert chosen(things, most=25) == ["e.partial", "d", "models/c", "c"]
    assert chosen(things, most=0, kept=frozenset("b")) == ["e.partial", "d", "models/c", "c"]
    assert chosen(things, older=0, kept=frozenset({"e"})) == ["d", "models/c", "c", "b", "a"]
    assert chosen([*things, thing("f", 1, needs=("b",), running=True)], most=0) == ["e.partial", "d", "models/c", "c"]


def test_what_killed_processes_left_always_goes_but_not_what_may_be_at_work():
    things = [
        thing("images-1.gone", 1, kind="left over"),
        thing("chaos-1", 1, kind="left over"),
        thing("chaos-2", 2 * 86400, kind="left over"),
    ]
    assert chosen(things) == ["images-1.gone", "chaos-2"]


def test_vectors_of_other_models_are_known_to_no_recipe():
    assert chosen([thing("embeddings/1", 9, kind="embeddings")], kept=frozenset()) == []


def test_one_that_dies_before_it_has_deleted_leaves_work_for_the_next(tmp_path, monkeypatch):
    store = Store(tmp_path)
    ingest = make(store, "ingest")
    monkeypatch.setattr(Here, "sweep", lambda self: None)
    clear(place_of(store), Rule(older=0))
    monkeypatch.undo()
    assert not store.find("ingest", ingest.key) and (tmp_path / f"{name(ingest)}.gone").is_dir()
    clear(place_of(store), Rule())
    assert contents(place_of(store)) == []


def test_a_link_s_bytes_count_once(tmp_path):
    store = Store(tmp_path)
    classify = make(store, "classify", content=b"x" * 1000)
    folder = tmp_path / "models" / name(classify)
    folder.mkdir(parents=True)
    os.link(classify.folder / "data", folder / "data")
    artifact, model = contents(place_of(store))
    assert (artifact.kind, model.kind, model.bytes, model.needs) == ("artifact", "model", 0, (artifact.name,))
    assert artifact.bytes > 1000


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2592000), ("1.5 h", 5400), ("2w", 1209600), ("5M", 300)])
def test_ages(text, seconds):
    assert asked.seconds(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("20GB", 2e10), ("500 mb", 5e8), ("1.5T", 1.5e12), ("7", 7)])
def test_sizes(text, size):
    assert asked.size(text) == size


def call(*args: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["cache", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verified shop: five artifacts for its recipe, and four for the same with another split."""
    folder = tmp_path_factory.mktemp("shop")
    trouble.write(folder)
    for sets in ([], ["--set", "images.side=48"]):
        result = CliRunner().invoke(app, ["verify", str(folder / "shop.yaml"), "--quiet", *sets])
        assert result.exit_code == 0, result.output
    return folder


def test_the_commands(shop):
    recipe = shop / "shop.yaml"
    listed = json.loads(call("ls", recipe, "--json").stdout)
    assert listed["cache"] == str(shop / ".mlim")
    assert [thing["what"] for thing in listed["things"]] == ["artifact"] * 9
    assert {recipe for thing in listed["things"] for recipe in thing["recipes"]} == {"shop"}
    assert call("ls", shop / ".mlim").stdout.splitlines()[-1].startswith("9 things, ")
    assert "would go: 0 things" in call("gc", recipe, "--older", "1h").stdout
    said = call("gc", recipe, "--keep", recipe).stdout
    assert "would go: 4 things" in said and said.endswith("nothing was removed: --yes does it\n")
    removed = json.loads(call("gc", recipe, "--keep", recipe, "--yes", "--json").stdout)
    assert removed["removed"] and len(removed["things"]) == 4 and removed["bytes"] > 1000
    result = CliRunner().invoke(app, ["verify", str(recipe)])
    assert result.stdout.startswith("nothing to do: everything is cached\n")
    assert call("verify", recipe).stdout.endswith(" files, 0 of them damaged\n")
    (data,) = (shop / ".mlim").glob("ingest-*/drops.csv")
    data.write_text(data.read_text().replace("no", "on"))
    said = call("verify", recipe, "--json", code=1)
    assert [each["file"] for each in json.loads(said.stdout)["damaged"]] == ["drops.csv"]
    assert "delete them, and run again" in said.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ls", "nowhere"], "nowhere: no such folder; give a recipe (.yaml), or its cache"),
        (["gc", ".", "--older", "soon"], "--older soon: expected an age such as 30d"),
        (["gc", ".", "--most", "all"], "--most all: expected a size such as 20GB"),
        (["ls", "http://a/b"], "expected a path, or an address in an object store"),
    ],
)
def test_errors(args, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in call(*args, code=2).stderr


def test_a_recipe_of_another_cache_says_nothing_of_this_one(shop, tmp_path):
    with pytest.raises(RecipeError, match="its cache is "):
        asked.needed([shop / "shop.yaml"], place_of(Store(tmp_path)))
