"""What another version of mlim left behind: older files are read, newer ones refused in words, none is lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import SHAPE, network
from workbench.artifacts.key import key_of
from workbench.artifacts.stage import Stage
from workbench.artifacts.store import Artifact, Store
from workbench.errors import ArtifactError
from workbench.plan import plan_stages
from workbench.tasks.network import CONFIG, load_network, model_section, save_network
from workbench.train.checkpoint import POSITION, Position, open_checkpoint
from workbench.train.checkpoints import Checkpoints, complete
from workbench.train.snapshot import Snapshot

NEWER = "format 2, made by a newer mlim than .*; upgrade mlim, or "


def told_otherwise(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(file.read_text())
    change(told)
    file.write_text(json.dumps(told))


def stage(version: int) -> Stage:
    return Stage("split", version, {}, lambda work: {})


def made(store: Store, of: Stage) -> Artifact:
    ingredients = {"stage": of.name, "version": of.version, "section": {}, "inputs": {}, "sources": {}}
    with store.making(of.name, key_of(ingredients)):
        return store.commit(of.name, ingredients, {})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Of steps 1 and 2."""
    with Checkpoints(tmp_path, {"section": {}}) as kept:
        for step in (1, 2):
            kept.save(Snapshot.of({"model.w": torch.zeros(2)}), Position(step, 9, seconds=step), b"")
    return tmp_path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_network(tmp_path, network())
    return tmp_path


def test_an_artifact_of_an_older_stage_is_made_again_and_the_plan_says_why(tmp_path: Path):
    store = Store(tmp_path)
    old = made(store, stage(1))
    (step,) = plan_stages([stage(2)], store)
    assert (step.artifact, step.reason) == (None, "stage split: version 1 -> 2")
    assert store.find("split", old.key) == old  # whoever goes back to the older mlim finds it


def test_an_artifact_of_a_newer_format_is_refused_and_stays(tmp_path: Path):
    store = Store(tmp_path)
    folder = made(store, stage(1)).folder
    told_otherwise(folder / "manifest.json", lambda told: told.update(format=2))
    with pytest.raises(ArtifactError, match=f"{folder}/manifest.json: {NEWER}delete {folder} and run again"):
        plan_stages([stage(1)], store)
    assert folder.is_dir()
    (step,) = plan_stages([stage(2)], store)  # what isn't asked for is in nobody's way
    assert step.artifact is None


def test_a_checkpoint_without_what_came_later_is_read(checkpoints: Path):
    for name in ("micro_batch", "batch_size", "scale", "bad", "in_a_row", "best", "best_step", "waited"):
        told_otherwise(checkpoints / "step-00000002-of-00000009" / POSITION, lambda told, name=name: told.pop(name))
    assert [checkpoint.position.bad for checkpoint in complete(checkpoints)] == [0, 0]


def test_a_checkpoint_of_a_newer_format_is_refused_not_passed_over(checkpoints: Path):
    newest = checkpoints / "step-00000002-of-00000009"
    told_otherwise(newest / POSITION, lambda told: told.update(format=2, minutes=3))
    with pytest.raises(ArtifactError, match=f"{newest}/position.json: {NEWER}take this checkpoint away"):
        complete(checkpoints)
    shutil.move(newest, checkpoints / "kept")
    assert [checkpoint.position.step for checkpoint in complete(checkpoints)] == [1]


def test_a_checkpoint_that_lost_what_it_needs_is_damaged(checkpoints: Path):
    newest = checkpoints / "step-00000002-of-00000009"
    told_otherwise(newest / POSITION, lambda told: told.pop("crc32"))
    with pytest.raises(ValueError, match="is not this mlim's"):
        open_checkpoint(newest)


def test_a_model_without_what_came_later_is_read(model: Path):
    def older(told: dict[str, Any]) -> None:
        del told["embedder"], told["size"]["norm_eps"]

    told_otherwise(model / CONFIG, older)
    assert load_network(model).shape == SHAPE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told.update(format=2), f"{NEWER}train it again with this one"),
        (lambda told: told.update(experts=8), "not as mlim .* writes it .*experts.*: make it again, or use it with"),
        (lambda told: told.pop("patch"), "not as mlim .* writes it .*patch.*made by another version"),
    ],
)
def test_a_model_of_another_version_is_refused_in_words(model: Path, change: Any, said: str):
    told_otherwise(model / CONFIG, change)
    with pytest.raises(ArtifactError, match=f"{model}/{CONFIG}: {said}"):
        load_network(model)


def test_a_recipe_of_another_version_within_an_artifact_is_refused_in_words(tmp_path: Path):
    old = Artifact(tmp_path, "pretrain", "key", {"section": {"model": {"side": 3}}}, {}, {})
    with pytest.raises(ArtifactError, match=r"not as mlim .*side.*: make it again"):
        model_section(old)
