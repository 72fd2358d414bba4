"""A cache is looked at, cleared and verified, on a disk and in an object store; what runs, and what it needs, stays."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from safetensors.torch import save
from typer.testing import CliRunner

from tests.report import trouble
from tests.tasks import shop as tasks
from workbench.ablate.variants import read_variants
from workbench.artifacts.key import key_of
from workbench.artifacts.shared import Shared, store_of
from workbench.artifacts.store import Artifact, Away, Store
from workbench.artifacts.uses import using
from workbench.cache import asked
from workbench.cache.clear import Rule, choose, clear, find
from workbench.cache.contents import contents
from workbench.cache.place import Here, place_of
from workbench.cache.thing import File, Thing
from workbench.cache.verify import noted, verify
from workbench.cli import EVERYTHING, app
from workbench.errors import RecipeError
from workbench.plan import names_of, plan_recipe
from workbench.recipe.load import load_recipe
from workbench.train.checkpoint import Checkpoint, Position
from workbench.train.snapshot import Snapshot

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


def test_nothing_goes_that_a_recipe_of_several_tasks_and_variants_needs(store, tmp_path):
    """Artifacts that hold nothing, under the keys of all that its commands would make."""
    tasks.build(tmp_path)
    labels = {"label": "kind"}
    tree = tasks.tree(
        store.root, match=tasks.match(), classify=labels, fill={"attributes": ["kind"]}, retrieve={"by": "kind"}
    )
    tree["finetune"]["together"] = True
    tree["ablate"] = {"variants": {"as it is": [], "small": ["images.side=8"]}, "seeds": [1]}
    if isinstance(store, Shared):
        tree["runtime"] |= {"cache": store.remote.url, "scratch": str(tmp_path / "scratch")}
    (path := tmp_path / "shop.yaml").write_text(yaml.safe_dump(tree))
    store = store_of(load_recipe(path).runtime)
    here = Store(store.root)  # without the locks there
    recipe, variants = read_variants(path)
    plans = [
        plan_recipe(recipe, [goal]) for goal in (*EVERYTHING, *recipe.finetune.tasks, "together", "probes", "audit")
    ]
    plans += [plan_recipe(each, [goal]) for variant in variants for each in variant.recipes for goal in variant.goals]
    other = plan_recipe(load_recipe(path, ["pretrain.seed=7"]), ["match"])
    for step in {step.key: step for plan in [*plans, other] for step in plan}.values():
        with here.making(step.stage.name, step.key):
            put(store, here.commit(step.stage.name, step.ingredients, {}).folder)
    for folder in {name for plan in [*plans, other] for name in names_of(plan) if "/" in name}:
        (store.root / folder).mkdir(parents=True)
        (store.root / folder / "x").touch()
        put(store, store.root / folder)
    needed = {name for plan in plans for name in names_of(plan)}
    place = place_of(store)
    gone = {each.thing.name for each in clear(place, Rule(kept=asked.needed([path], place)))}
    there = {thing.name for thing in contents(place)}
    assert sum("/" not in name for name in needed) > 20 and needed <= there
    assert {name.rpartition("/")[0] for name in gone} == {"", "checkpoints", "models", "bad-steps"}
    assert {name.rpartition("/")[2].partition("-")[0] for name in gone} == {"pretrain", "match"}


def put(store: Store, folder: Path) -> None:
    """What lies here, there too."""
    for path in folder.rglob("*") if store.bucket else ():
        if path.is_file():
            store.bucket.send(path, path.relative_to(store.root).as_posix())


def checkpoint(store: Store, step: int) -> str:
    """One of a training, its tensors of two types, which its file has in another order than that of their names."""
    folder = store.root / "checkpoints" / "pretrain-0123456789abcdef"
    tensors = {"a": torch.arange(3).half(), "b": torch.arange(5.0), "c": torch.zeros(0), "d": torch.ones(2).half()}
    Checkpoint(Position(step, 9), {}, "", {}, 0).write(folder, Snapshot.of(tensors), b"{}")
    put(store, folder)
    return f"checkpoints/pretrain-0123456789abcdef/step-{step:08d}-of-00000009"


def verified(store: Store) -> dict[tuple[str, str], str]:
    place = place_of(store)
    files, damaged = noted(place, contents(place))
    found = [*damaged, *verify(place, files, lambda well: None)]
    return {(each.thing, each.file): each.what.partition(" (")[0] for each in found}


def test_damaged_checkpoints_are_found(store):
    steps = [checkpoint(store, step) for step in range(6)]
    assert verified(store) == {}
    state = (store.root / steps[0] / "state.safetensors").read_bytes()
    for step, name, content in (
        (1, "state.safetensors", state[:-1] + b"!"),
        (2, "state.safetensors", state[:-1]),
        (3, "metrics.jsonl", None),
        (4, "position.json", b"{"),
        (5, "position.json", None),  # as one that is being sent, or taken away
    ):
        write(store, f"{steps[step]}/{name}", content)
    assert verified(store) == {
        (steps[1], "state.safetensors"): "its bytes changed",
        (steps[2], "state.safetensors"): f"{len(state) - 1:,} bytes, expected {len(state):,}",
        (steps[3], "metrics.jsonl"): "missing",
        (steps[4], "position.json"): "unreadable",
    }


def test_damaged_models_are_found(tmp_path):
    store = Store(tmp_path)
    classify, names = make(store, "classify"), ("model.json", "about.json", "model.safetensors", "data")
    for model, weights in ((name(classify), save({"a": torch.ones(3)})), ("match-0123456789abcdef", b"none")):
        folder = tmp_path / "models" / model
        folder.mkdir(parents=True)
        for each, content in zip(names, (b"{}", b"{}", weights, b"12345"), strict=True):
            (folder / each).write_bytes(content)
    assert verified(store) == {("models/match-0123456789abcdef", "model.safetensors"): "no .safetensors"}
    shutil.rmtree(folder)
    folder = tmp_path / "models" / name(classify)
    (folder / "data").write_bytes(b"12354")  # its artifact's
    (folder / "model.safetensors").write_bytes(save({"a": torch.ones(3)})[:-1])
    (folder / "about.json").unlink()
    of = f"models/{name(classify)}"
    assert verified(store) == {
        (of, "data"): "its bytes changed",
        (of, "model.safetensors"): "cut short",
        (of, "about.json"): "missing",
    }


def test_a_manifest_that_is_another_s_is_damaged(store):
    ingest, images, _ = chain(store)
    manifest = json.loads((ingest.folder / "manifest.json").read_text())
    for of, changed in ((ingest, manifest | {"ingredients": {}}), (images, manifest)):
        write(store, f"{name(of)}/manifest.json", json.dumps(changed).encode())
    assert verified(store) == {(name(of), "manifest.json"): "unreadable" for of in (ingest, images)}


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
