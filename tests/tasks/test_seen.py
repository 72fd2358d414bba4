"""To look at a pre-training changes nothing of it."""

import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from tests.tasks import shop
from tests.train.test_trackers import events
from workbench.errors import Interrupted, RecipeError
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.train.meter import Meter


def pretrained(folder: Path, cache: str, **runtime: object) -> tuple[dict[str, str], str]:
    tree = shop.tree(folder / cache)
    tree["name"] = "shop"
    tree["pretrain"]["epochs"], tree["pretrain"]["log_every"] = 2, 1
    tree["runtime"] |= {"reports": str(folder / cache / "reports")} | runtime
    recipe = recipe_from_tree(tree, folder)
    said = io.StringIO()
    made = run_plan(plan_recipe(recipe, ["pretrain"]), recipe.runtime, Console(file=said, width=200))
    return dict(shop.contents(made["pretrain"].artifact)), said.getvalue()


def test_trackers_and_a_trace_change_nothing_also_of_a_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    plain, said = pretrained(tmp_path, "plain")
    assert "MFU " in said and "CPU thread, measured" in said

    call = Meter.__call__

    def stopping(meter: Meter, progress: object) -> None:
        call(meter, progress)  # type: ignore[arg-type]
        if progress.step == 3:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)

    how = {"trackers": ["tensorboard"], "profile": [2, 6]}
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Meter, "__call__", stopping)
        pretrained(tmp_path, "seen", **how)
    seen, said = pretrained(tmp_path, "seen", **how)
    assert seen == plain

    reports = tmp_path / "seen/reports/shop"
    (curve,) = (reports / "tensorboard").iterdir()
    assert curve.name.startswith("pretrain-")
    steps = [step for step, _ in events(curve, "loss/mlm")]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) == 8
    assert [step for step, _ in events(curve, "valid/mlm")] == [8]
    assert (reports / f"trace-{curve.name}.json.gz").exists()
    assert "aten::" in said and "in this run" in said


def test_a_tracker_that_is_not_installed_is_told_of_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    monkeypatch.setattr("workbench.train.trackers.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"wandb is not installed; pip install mlim\[wandb\]"):
        pretrained(tmp_path, "cache", trackers=["wandb"])
    assert not list((tmp_path / "cache").glob("ingest-*"))
