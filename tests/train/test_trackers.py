"""Trackers draw what the log says, once for each step, and never end a training."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.train.test_meter import progress, work
from workbench.artifacts.store import Artifact
from workbench.errors import RecipeError
from workbench.recipe.schema import Runtime
from workbench.train.meter import Meter
from workbench.train.trackers import Curve, Trackers, check_installed, flat

WANDB = """
import json, pathlib
class Settings:
    def __init__(self, **how): pass
class Run:
    def __init__(self, **how):
        self.file = pathlib.Path(how["dir"]) / (how["id"] + ".jsonl")
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.starting_step = 1 + max((json.loads(line)["step"] for line in lines), default=-1)
        self.how = how
    def log(self, values, step):
        if values.get("break"): raise ConnectionError("no network")
        with self.file.open("a") as file: file.write(json.dumps({"step": step} | values) + "\\n")
    def finish(self, exit_code):
        (self.file.parent / "exit").write_text(f"{exit_code} {self.how['resume']} {self.how['config']}")
def init(**how): return Run(**how)
"""

MLFLOW = """
import types
RUNS = {}
class entities:
    class Param:
        def __init__(self, key, value): self.key, self.value = key, value
    class Metric:
        def __init__(self, key, value, timestamp, step): self.key, self.value, self.step = key, value, step
class MlflowClient:
    def __init__(self, uri): self.uri = uri
    def get_experiment_by_name(self, name): return None
    def create_experiment(self, name): return name
    def search_runs(self, experiments, filter_string, max_results):
        return [run for run in RUNS.values() if f"tags.`mlim.key` = '{run.tags['mlim.key']}'" == filter_string]
    def create_run(self, experiment, run_name, tags):
        space = types.SimpleNamespace
        info = space(run_id="r1", status="RUNNING", run_name=run_name)
        RUNS["r1"] = space(info=info, tags=tags, points=[], data=space(metrics={}, params={}))
        return RUNS["r1"]
    def update_run(self, run, status): RUNS[run].info.status = status
    set_terminated = update_run
    def get_metric_history(self, run, name): return [p for p in RUNS[run].points if p.key == name]
    def log_batch(self, run, metrics=(), params=()):
        RUNS[run].points += metrics
        RUNS[run].data.metrics |= {metric.key: metric.value for metric in metrics}
        RUNS[run].data.params |= {param.key: param.value for param in params}
"""


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("mlflow")
    exec(MLFLOW, module.__dict__)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", module.entities)
    return module


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/wandb.py").write_text(WANDB)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    yield tmp_path / "curves"
    sys.modules.pop("wandb", None)


def curve(folder: Path) -> Curve:
    return Curve("pretrain-0123", "shop pretrain", {"pretrain.epochs": 3, "artifact.ingest": "abcd"}, folder)


def drawn(names: tuple[str, ...], folder: Path, start: int, end: int, **more: float) -> list[str]:
    said: list[str] = []
    trackers = Trackers(names, curve(folder), start, said.append)
    for step in range(start + 1, end + 1):
        trackers.log(step, {"loss/mlm": 1 / step, **more})
    trackers.close(whole=end == 15)
    return said


def events(folder: Path, name: str) -> list[tuple[int, float]]:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(folder))
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars(name)]


def test_tensorboard_reads_one_curve_after_steps_were_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "tensorboard/pretrain-0123"
    assert drawn(("tensorboard",), tmp_path, 0, 10) + drawn(("tensorboard",), tmp_path, 6, 15) == []
    assert events(folder, "loss/mlm") == [(step, pytest.approx(1 / step)) for step in range(1, 16)]


def test_wandb_goes_on_with_the_run_of_the_key(wandb: Path) -> None:
    drawn(("wandb",), wandb, 0, 10)
    assert (wandb / "exit").read_text().startswith("1 ")  # it was not trained to the end
    drawn(("wandb",), wandb, 6, 15)
    lines = (wandb / "pretrain-0123.jsonl").read_text().splitlines()
    assert [eval(line)["step"] for line in lines] == list(range(1, 16))
    assert (wandb / "exit").read_text() == "0 allow {'pretrain.epochs': 3, 'artifact.ingest': 'abcd'}"


def test_mlflow_goes_on_with_the_run_that_has_the_key(tmp_path: Path, mlflow: ModuleType) -> None:
    assert drawn(("mlflow",), tmp_path, 0, 10) == []
    assert mlflow.RUNS["r1"].info.status == "KILLED"
    assert drawn(("mlflow",), tmp_path, 6, 15) == []
    run = mlflow.RUNS["r1"]
    assert [point.step for point in run.points] == list(range(1, 16))
    assert run.data.params == {"pretrain.epochs": "3", "artifact.ingest": "abcd"}
    assert (run.info.status, run.info.run_name) == ("FINISHED", "shop pretrain")


def test_the_real_mlflow_does_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlim[mlflow] is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert drawn(("mlflow",), tmp_path, 0, 10) + drawn(("mlflow",), tmp_path, 6, 15) == []
    client = mlflow.MlflowClient((tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("mlim").experiment_id])
    points = client.get_metric_history(run.info.run_id, "loss/mlm")
    assert sorted(point.step for point in points) == list(range(1, 16))
    assert (run.info.status, run.info.run_name) == ("FINISHED", "shop pretrain")


def test_a_tracker_that_fails_is_told_of_once_and_the_others_go_on(wandb: Path) -> None:
    said = drawn(("wandb", "tensorboard"), wandb, 0, 5, **{"break": 1.0})
    assert said == [
        "warning: wandb failed and is left out (ConnectionError: no network); the training goes on",
    ]
    assert len(events(wandb / "tensorboard/pretrain-0123", "loss/mlm")) == 5


def test_nobody_waits_for_a_tracker(wandb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.train.trackers._PATIENCE", 0.2)
    module = ModuleType("wandb")
    module.Settings = dict  # type: ignore[attr-defined]
    module.init = lambda **how: time.sleep(3)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    begun = time.monotonic()
    said = drawn(("wandb",), wandb, 0, 5)
    assert time.monotonic() - begun < 2
    assert said == ["trackers: not everything was sent within 0 s; left at that"]


def test_a_missing_package_is_told_of_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(RecipeError, match=r"runtime.trackers: wandb is not installed; pip install mlim\[wandb\]"):
        check_installed(["wandb"])
    check_installed([])


def test_the_recipe_is_logged_by_dotted_path() -> None:
    tree: Mapping[str, object] = {
        "pretrain": {"optim": {"lr": 1e-3}, "sides": [[0.5, 32]], "average": None},
        "url": "pg://me:hush@db",
    }
    assert dict(flat(tree)) == {
        "pretrain.optim.lr": 1e-3,
        "pretrain.sides": "[[0.5, 32]]",
        "pretrain.average": "None",
        "url": "pg://me:***@db",
    }


def test_a_training_logs_losses_rates_speeds_memory_and_its_recipe(tmp_path: Path, wandb: Path) -> None:
    of, _ = work(tmp_path)
    artifact = Artifact(tmp_path, "ingest", "abcd", {"section": {"catalog": {"feeds": 2}}}, {}, {})
    of = replace(
        of,
        runtime=Runtime(reports=tmp_path, trackers=("tensorboard", "wandb")),
        log=tmp_path / "pretrain-0123.jsonl",
        inputs={"ingest": artifact},
        ingredients={"section": {"pretrain": {"epochs": 3}}},
    )
    with Meter(of, "pretrain", 4, 2, "shop", steps_per_epoch=4) as show:
        for step in (1, 2, 3, 4):
            show(progress(step, 1.0, validated=0.5 * (step == 4), saved=0.25 * (step == 2)))
    folder = tmp_path / "shop/tensorboard/pretrain-0123"
    names = "loss/mlm valid/mlm lr grad_norm epoch skipped_steps speed/listings time/data_wait time/checkpoints"
    found = {name: events(folder, name) for name in f"{names} time/validation memory/resident".split()}
    assert found["loss/mlm"] == [(2, 2.0), (4, 2.0)]
    assert found["valid/mlm"] == [(4, 1.5)]
    assert found["epoch"] == [(2, 0.5), (4, 1.0)]
    assert found["speed/listings"] == [(2, pytest.approx(64 / 1.75)), (4, pytest.approx(64 / 1.5))]
    assert found["time/checkpoints"] == [(2, 0.125), (4, 0.0)]
    assert found["time/validation"] == [(2, 0.0), (4, 0.25)]
    assert "'catalog.feeds': 2, 'pretrain.epochs': 3, 'artifact.ingest': 'abcd'" in (tmp_path / "shop/exit").read_text()
