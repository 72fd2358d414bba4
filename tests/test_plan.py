"""Plans and runs of small stages made up here: the real ones have tests of their own."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from workbench import plan as planning
from workbench.artifacts.key import Digests
from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Store
from workbench.errors import ArtifactError, DataError
from workbench.plan import Sources, plan_stages, publish, run_plan, wanted
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Runtime


def stages(feed="aa", side=64, lr=1e-3, versions: Mapping[str, int] = {}, ran: list[str] | None = None) -> list[Stage]:
    """ingest -> images -> pretrain, each writing what it read and its section."""

    def stage(name: str, section: dict[str, Any], needs: tuple[str, ...], sources: dict[str, str]) -> Stage:
        def run(work: Work) -> dict[str, Any]:
            if ran is not None:
                ran.append(name)
            read = [work.inputs[need].path("out").read_text() for need in needs]
            (work.folder / "out").write_text(f"{name}{section}{read}")
            return {"read": len(read)}

        return Stage(name, versions.get(name, 1), section, run, needs, sources)

    return [
        stage("ingest", {"catalog": {"split": {"seed": 0}}}, (), {"catalog.feeds.0.path": feed}),
        stage("images", {"images": {"side": side, "crop": [0.6, 1.0]}}, ("ingest",), {}),
        stage("pretrain", {"pretrain": {"optim": {"lr": lr}}}, ("images", "ingest"), {}),
    ]


def run(cache: Path, made: list[Stage], **options) -> Mapping[str, planning.Made]:
    runtime = Runtime(cache=cache)
    return run_plan(plan_stages(made, Store(cache)), runtime, Console(file=io.StringIO()), **options)


def reasons(cache: Path, made: list[Stage]) -> list[str]:
    return [step.reason for step in plan_stages(made, Store(cache))]


def test_a_second_run_does_nothing(tmp_path):
    ran: list[str] = []
    assert reasons(tmp_path, stages()) == ["never made"] * 3
    first = run(tmp_path, stages(ran=ran))
    assert ran == ["ingest", "images", "pretrain"]
    again = run(tmp_path, stages(ran=ran))
    assert len(ran) == 3
    assert [m.seconds for m in again.values()] == [None] * 3
    assert [m.artifact for m in again.values()] == [m.artifact for m in first.values()]
    assert reasons(tmp_path, stages()) == [""] * 3


def test_only_what_depends_on_a_changed_field_runs_and_the_plan_names_it(tmp_path):
    run(tmp_path, stages())
    assert reasons(tmp_path, stages(lr=2e-3)) == ["", "", "pretrain.optim.lr: 0.001 -> 0.002"]
    assert reasons(tmp_path, stages(side=48)) == ["", *["images.side: 64 -> 48"] * 2]
    assert reasons(tmp_path, stages(feed="bb")) == ["catalog.feeds.0.path: content changed"] * 3
    assert reasons(tmp_path, stages(versions={"images": 2})) == ["", *["stage images: version 1 -> 2"] * 2]
    assert reasons(tmp_path, stages(side=48, lr=2e-3))[2] == "pretrain.optim.lr: 0.001 -> 0.002, images.side: 64 -> 48"
    ran: list[str] = []
    run(tmp_path, stages(side=48, ran=ran))
    assert ran == ["images", "pretrain"]


def test_the_reason_is_the_difference_from_the_nearest_artifact(tmp_path):
    run(tmp_path, stages(side=48, lr=1e-3))
    run(tmp_path, stages(side=64, lr=5e-3))
    assert reasons(tmp_path, stages(side=48, lr=2e-3))[2] == "pretrain.optim.lr: 0.001 -> 0.002"


def test_an_input_whose_artifact_was_deleted_is_told_as_changed(tmp_path):
    first = run(tmp_path, stages())
    folder = first["images"].artifact.folder
    folder.rename(tmp_path / "elsewhere")
    assert reasons(tmp_path, stages(side=48)) == ["", "never made", "input images changed"]


def test_keys_don_t_depend_on_where_anything_lies(tmp_path):
    a, b = run(tmp_path / "a", stages()), run(tmp_path / "b", stages())
    for name in a:
        assert a[name].artifact.files == b[name].artifact.files
        manifests = [(m[name].artifact.folder / "manifest.json").read_bytes() for m in (a, b)]
        assert manifests[0] == manifests[1]
        assert str(tmp_path).encode() not in manifests[0]


def test_a_killed_run_goes_on_unless_told_to_start_anew(tmp_path):
    seen: list[list[str]] = []

    def halting(work: Work) -> dict[str, Any]:
        seen.append(sorted(p.name for p in work.folder.iterdir()))
        (work.folder / f"shard{len(seen)}").write_text("done")
        if len(seen) < 4:
            raise KeyboardInterrupt
        return {}

    one = [Stage("images", 1, {}, halting)]
    for resume in (True, True, False):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, one, resume=resume)
        assert reasons(tmp_path, one) == ["continues an unfinished run"]
    made = run(tmp_path, one)
    assert seen == [[], ["shard1"], [], ["shard3"]]
    assert sorted(made["images"].artifact.files) == ["shard3", "shard4"]


def test_what_another_process_made_since_the_plan_is_taken(tmp_path):
    ran: list[str] = []
    steps = plan_stages(stages(ran=ran), Store(tmp_path))
    run(tmp_path, stages())
    made = run_plan(steps, Runtime(cache=tmp_path), Console(file=io.StringIO()))
    assert ran == []
    assert not list(tmp_path.glob("*.partial"))
    assert made["pretrain"].artifact.path("out").exists()


def test_a_damaged_input_is_not_used(tmp_path):
    first = run(tmp_path, stages())
    out = first["images"].artifact.path("out")
    os.chmod(out, 0o644)
    out.write_bytes(out.read_bytes()[::-1])
    with pytest.raises(ArtifactError, match=f"its bytes changed; delete {out.parent} and run again"):
        run(tmp_path, stages(lr=5e-3))
    out.write_text("")
    with pytest.raises(ArtifactError, match="of another size than recorded; delete"):
        plan_stages(stages(), Store(tmp_path))


def test_goals_bring_what_they_need_and_nothing_else():
    by_name = {stage.name: stage for stage in stages()}
    built: list[str] = []

    def builder(name: str):
        return lambda: built.append(name) or by_name[name]

    builders = {name: builder(name) for name in by_name}
    assert [s.name for s in wanted(builders, ["pretrain"])] == ["ingest", "images", "pretrain"]
    built.clear()
    assert [s.name for s in wanted(builders, ["ingest"])] == ["ingest"]
    assert built == ["ingest"]


def test_the_report_is_copied_to_where_the_user_looks(tmp_path):
    artifact = run(tmp_path / "cache", stages())["ingest"].artifact
    publish(artifact, tmp_path / "reports" / "shop")
    assert [p.name for p in (tmp_path / "reports" / "shop").iterdir()] == ["out"]
    assert (tmp_path / "reports" / "shop" / "out").read_bytes() == artifact.path("out").read_bytes()


def shop(folder: Path, **feed: Any) -> Sources:
    tree = {"catalog": {"feeds": [{"path": "feed.csv", **feed}]}, "tokens": {"tokenizer": "tok"}}
    return Sources(recipe_from_tree(tree, folder), Digests(folder / "memory"))


def test_digests_of_the_sources_of_a_recipe(tmp_path):
    for name, text in {"feed.csv": "id,title\n", "a.png": "1", "tok/tokenizer.json": "{}"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    sources = shop(tmp_path)
    pictures = sources.of(".pictures")
    assert list(pictures) == ["catalog.feeds.0.pictures"]
    assert list(sources.of(".path")) == ["catalog.feeds.0.path"]
    assert list(sources.of("tokens.tokenizer")) == ["tokens.tokenizer"]
    assert sources.of("model.bert") == {}
    # beside the pictures: another feed text, the recipe, the cache, reports and what commands wrote: no pictures
    written = (
        "answers.csv.drops.csv",
        "points.parquet.index",
        "model/about.json",
        "model/model.safetensors",
        "run.log",
    )
    for name in ("feed.csv", "shop.yaml", ".mlim/x/y.png", "reports/shop/report.html", "reports/shop/a.png", *written):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("new")
    assert shop(tmp_path).of(".pictures") == pictures
    (tmp_path / "a.png").write_text("2")
    assert shop(tmp_path).of(".pictures") != pictures


def test_a_feed_without_a_picture_column_has_no_pictures_to_read(tmp_path):
    assert shop(tmp_path, columns={"id": "id", "title": "title"}).of(".pictures") == {}


def test_sources_that_can_t_be_read(tmp_path):
    with pytest.raises(DataError, match=r"catalog\.feeds\.0\.path: .*feed\.csv: No such file"):
        shop(tmp_path).of(".path")


def test_a_folder_is_a_feed_whose_pictures_are_not_its_source(tmp_path):
    (tmp_path / "feed.csv").mkdir()
    (tmp_path / "feed.csv/metadata.csv").write_text("file_name,title\n1.jpg,a\n")
    before = shop(tmp_path).of(".path")
    (tmp_path / "feed.csv/1.jpg").write_bytes(b"x")
    assert shop(tmp_path).of(".path") == before
    (tmp_path / "feed.csv/metadata.csv").write_text("file_name,title\n1.jpg,b\n")
    assert shop(tmp_path).of(".path") != before


def test_a_task_reads_its_own_files_and_all_tasks_the_published_models(tmp_path):
    for name in ("feed.csv", "pairs.csv", "labels.csv"):
        (tmp_path / name).write_text("id,title,kind,left,right,match\n")
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "config.json").write_text("{}")
    tree = {
        "catalog": {
            "feeds": [{"path": "feed.csv", "columns": {"id": "id", "title": "title", "labels": {"kind": "kind"}}}]
        },
        "finetune": {
            "match": {"pairs": "pairs.csv"},
            "classify": {"label": "kind", "labels": "labels.csv"},
            "retrieve": {"by": "kind"},
            "baselines": {"embeddings": [str(tmp_path / "clip"), "a/name-on-the-hub"]},
        },
    }
    recipe = recipe_from_tree(tree, tmp_path)
    sources = Sources(recipe, Digests(tmp_path / "digests.json"))
    models = {"finetune.baselines.embeddings.0"}
    assert sources.of_tasks("match").keys() == {"finetune.match.pairs"} | models
    assert sources.of_tasks("classify").keys() == {"finetune.classify.labels"} | models
    assert sources.of_tasks("retrieve").keys() == models
    assert recipe.finetune.baselines.told["embeddings"] == ["clip", "a/name-on-the-hub"]
    before = sources.of_tasks("retrieve")
    (tmp_path / "clip" / "config.json").write_text("{ }")
    assert Sources(recipe, Digests(tmp_path / "digests.json")).of_tasks("retrieve") != before
