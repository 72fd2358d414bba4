"""Runs of a task: shares within shares, and the same bytes whether killed, stopped, alone or side by side."""

import os
import subprocess
import sys
import time
from multiprocessing import resource_tracker, spawn
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tasks import shop
from tests.tasks.stops import stop_after
from workbench.errors import Interrupted, MlimError
from workbench.recipe.schema import Arm, Classify, Model, Optim, Runtime
from workbench.tasks import tune as tuning
from workbench.tasks.tune import Bench, Run, choose_labels, runs_of, steps_for
from workbench.train.stopping import Stop

TASK = {"match": shop.match(), "baselines": {"plain": False, "trees": False}}
GROUPS = np.array([f"g{i // 3}" for i in range(300)])


def test_a_smaller_share_is_part_of_a_larger_one_by_whole_groups() -> None:
    shares = [set(choose_labels(GROUPS, share, seed=0).tolist()) for share in (0.001, 0.2, 0.5, 1.0)]
    assert [len(s) for s in shares] == [3, 60, 150, 300]
    assert shares[0] < shares[1] < shares[2] < shares[3]
    for chosen in shares:
        assert all({3 * (i // 3), 3 * (i // 3) + 1, 3 * (i // 3) + 2} <= chosen for i in chosen)
    assert set(choose_labels(GROUPS, 0.2, seed=1).tolist()) != shares[1]


def test_steps_shrink_by_the_root_of_the_share() -> None:
    arm = Arm(epochs=4, optim=Optim(batch_size=32))
    assert [steps_for(arm, 300, share) for share in (1.0, 0.25, 0.0001)] == [40, 20, 1]


def test_every_arm_share_and_seed_is_one_run_the_kept_one_first() -> None:
    section = Classify(label="x", label_shares=(0.2, 1.0, 0.2), seeds=(3, 1))
    runs = runs_of(section)
    assert runs[0] == Run("pretrained", 1.0, 3) and len(runs) == len(set(runs)) == 8
    assert {run.arm for run in runs_of(section.model_copy(update={"scratch": None}))} == {"pretrained"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    shop.make(folder, folder / "cache", "pretrain")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, str]:
    """What an uninterrupted match stage leaves."""
    return dict(shop.contents(shop.make(folder, copy(folder, "whole"), "match", **TASK)[0]))


def copy(folder: Path, name: str) -> Path:
    """A cache of its own with the artifacts that the task reads."""
    cache = folder / name
    subprocess.run(["cp", "-r", folder / "cache", cache], check=True)
    return cache


def test_a_run_stopped_and_resumed_equals_one_that_was_not(
    folder: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = copy(folder, "stopped")
    stop_after(monkeypatch, tuning, 3, 2, 1)
    for _ in range(3):
        with pytest.raises(Interrupted, match="match: stopped and saved; run the same command again"):
            shop.make(folder, cache, "match", **TASK)
    made, said = shop.make(folder, cache, "match", **TASK)
    assert shop.contents(made) == whole
    assert "continues an unfinished run" in said


def test_a_finished_run_is_not_trained_again(
    folder: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, train_run, trained = copy(folder, "failed"), tuning.train_run, []

    def failing(bench, listings, run, stop):
        trained.append(run.arm)
        if trained == ["pretrained", "scratch"]:
            raise MlimError("a loss is not finite")
        return train_run(bench, listings, run, stop)

    monkeypatch.setattr(tuning, "train_run", failing)
    with pytest.raises(MlimError, match="a loss is not finite"):
        shop.make(folder, cache, "match", **TASK)
    assert shop.contents(shop.make(folder, cache, "match", **TASK)[0]) == whole
    assert trained == ["pretrained", "scratch", "scratch"]


SCRIPT = """
import sys
from pathlib import Path
from tests.tasks import shop
from tests.tasks.test_tune import TASK
if __name__ == "__main__":
    folder, cache = map(Path, sys.argv[1:])
    shop.make(folder, cache, "match", threads=2, **TASK)
"""


def test_side_by_side_killed_and_run_again_equals_one_by_one(folder: Path, whole: dict[str, str]) -> None:
    """Both ways a process has one thread. Killed with -9, the parent takes its processes with it."""
    cache, script = copy(folder, "killed"), folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder), str(cache)]
    parent = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    deadline = time.monotonic() + 180
    while not list(cache.glob("match-*.partial/*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    children = children_of(parent.pid)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 180  # on a busy machine the first is needed for what came before
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, children))
    made, said = shop.make(folder, cache, "match", threads=2, **TASK)
    assert shop.contents(made) == whole
    assert "scratch, all labels, seed 0: PR AUC" in said


def test_a_process_that_dies_as_it_starts_ends_the_run(tmp_path: Path) -> None:
    """It once was waited for, for ever, where it was to be sent more than a pipe holds."""
    resource_tracker.ensure_running()
    executable = spawn.get_executable()
    spawn.set_executable("/bin/false")
    try:
        bench = Bench(bytes(2**20), {}, Model(), Runtime(), torch.device("cpu"), tmp_path, Run("scratch", 1.0, 0))  # type: ignore[arg-type]
        with pytest.raises(MlimError, match="a process was killed"):
            list(tuning._side_by_side(bench, [bench.kept], 2, Stop()))
    finally:
        spawn.set_executable(executable)
    assert list(tmp_path.iterdir()) == []


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
