"""Pre-training: what it sees, how it is resumed and prolonged, and whose checkpoints it takes."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from tests.tasks import shop
from tests.tasks.stops import stop_after
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact, locked
from workbench.errors import ArtifactError, DataError, Interrupted, RecipeError
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Runtime
from workbench.tasks import pretrain_checkpoints
from workbench.tasks.catalog import choose_device
from workbench.tasks.network import load_network, of_checkpoint
from workbench.tasks.objective import Pretraining
from workbench.train import loop
from workbench.train.checkpoint import STATE


def test_a_catalog_without_pictures_is_told_what_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache")
    del tree["catalog"]["feeds"][0]["columns"]["picture"]
    monkeypatch.setattr(shop, "tree", lambda *_, **__: tree)
    with pytest.raises(DataError, match=r"no picture is named \(120\); name their column .*columns\.picture"):
        shop.make(tmp_path, tmp_path / "cache", "pretrain")


SAMPLING = {"window": 2, "balance": {"label": "kind"}, "buckets": 2, "sides": [[0.3, 8]]}


def test_every_policy_at_once_resumed_in_mid_epoch_equals_a_run_that_was_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    seen: list[tuple[int, ...]] = []
    sums = Pretraining.sums
    monkeypatch.setattr(
        Pretraining, "sums", lambda self, batch: seen.append(batch.pixels_BCHW.shape) or sums(self, batch)
    )

    def pretrained(cache: str) -> dict[str, str]:
        tree = shop.tree(tmp_path / cache)
        tree["images"]["shard_pictures"] = 16
        tree["pretrain"] |= {"epochs": 2, "sampling": SAMPLING, "optim": {"batch_size": 16, "micro_batch": 6}}
        with monkeypatch.context() as patch:
            patch.setattr(shop, "tree", lambda *_, **__: tree)
            return dict(shop.contents(shop.make(tmp_path, tmp_path / cache, "pretrain")[0]))

    whole = pretrained("whole")
    sides = [shape[-1] for shape in seen]
    assert sides == sorted(sides) and set(sides) == {8, 16}

    stop_after(monkeypatch, loop, 5, 2)
    for _ in range(2):
        with pytest.raises(Interrupted):
            pretrained("stopped")
    assert pretrained("stopped") == whole


OPTIM = {"batch_size": 16, "schedule": "constant", "warmup_steps": 3}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose cache has a pre-training of two epochs, eight steps, that was stopped after five."""
    folder = tmp_path_factory.mktemp("stopped")
    shop.build(folder)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        stop_after(patch, loop, 5)
        pretrained(folder, "cache", epochs=2)
    return folder


def pretrained(
    folder: Path, cache: str, *, epochs: int, resume: bool = True, how: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Artifact, str]:
    """And what was said on the way."""
    tree = shop.tree(folder / cache)
    tree["pretrain"] = {"epochs": epochs, "optim": OPTIM, "log_every": 1, "average": 0.9, **how}
    recipe, said = recipe_from_tree(tree, folder), io.StringIO()
    made = run_plan(plan_recipe(recipe, ["pretrain"]), recipe.runtime, Console(file=said, width=200), resume)
    return made["pretrain"].artifact, said.getvalue()


def copied(stopped: Path, name: str) -> str:
    shutil.copytree(stopped / "cache", stopped / name)
    return name


def checkpoints(stopped: Path, cache: str) -> list[Path]:
    return sorted((stopped / cache / "checkpoints").glob("pretrain-*/step-*"))


def test_a_longer_pretraining_goes_on_from_a_shorter_one_and_ends_as_if_it_always_was(stopped: Path) -> None:
    whole = dict(shop.contents(pretrained(stopped, copied(stopped, "new"), epochs=3, resume=False)[0]))
    cache = copied(stopped, "longer")
    made, said = pretrained(stopped, cache, epochs=3)
    assert "goes on from step 5" in said and dict(shop.contents(made)) == whole
    kept = [folder.name for folder in checkpoints(stopped, cache)]
    assert "step-00000010-of-00000012" in kept  # where its cooldown begins
    assert {name[-8:] for name in kept} == {"00000008", "00000012"}  # those of the shorter one are not its own


def test_begun_anew_nothing_of_before_is_left(stopped: Path) -> None:
    cache = copied(stopped, "anew")
    made, said = pretrained(stopped, cache, epochs=2, resume=False)
    assert "goes on" not in said
    assert [folder.name for folder in checkpoints(stopped, cache)] == ["step-00000006-of-00000008"]
    assert shop.contents(pretrained(stopped, copied(stopped, "resumed"), epochs=2)[0]) == shop.contents(made)


def test_checkpoints_of_anything_else_are_told_and_left(stopped: Path) -> None:
    cache = copied(stopped, "changed")
    _, said = pretrained(stopped, cache, epochs=2, how={"seed": 1, "optim": OPTIM | {"lr": 0.001}})
    (line,) = (line for line in said.splitlines() if "not used" in line)
    assert (
        "step-00000005-of-00000008, which differs in: pretrain.optim.lr: 0.0005 -> 0.001; pretrain.seed: 0 -> 1" in line
    )
    assert "goes on" not in said
    ours, theirs = sorted(
        {folder.parent for folder in checkpoints(stopped, cache)}, key=lambda f: f.stat().st_mtime_ns
    )[::-1]
    shutil.copytree(next(theirs.glob("step-*5-of-*")), ours / "step-00000007-of-00000008")
    with pytest.raises(
        ArtifactError, match=r"another training, which differs in: pretrain\.optim\.lr: .*pretrain\.seed: 0 ->"
    ):
        pretrained(stopped, cache, epochs=3, how={"seed": 1, "optim": OPTIM | {"lr": 0.001}})


def test_two_runs_of_one_line_do_not_mix(stopped: Path) -> None:
    (folder,) = {folder.parent for folder in checkpoints(stopped, "cache")}
    with locked(folder), pytest.raises(ArtifactError, match=r"pretrain-\w+: another process is making it"):
        pretrained(stopped, "cache", epochs=3)


def test_a_checkpoint_is_read_as_a_saved_network_is(stopped: Path) -> None:
    (folder,) = checkpoints(stopped, "cache")
    tensors = load_file(folder / STATE)
    for name, weight in load_network(folder).named_parameters():
        assert torch.equal(weight, tensors[f"optimizer.average.network.{name}"])
    told, heads = of_checkpoint(folder)
    assert told.average == 0.9 and heads.state_dict() == {}
    copied(stopped, "started")
    tree = shop.tree(stopped / "started")
    tree["model"]["checkpoint"] = str(folder)
    tree["pretrain"] = {"epochs": 0}
    recipe = recipe_from_tree(tree, stopped)
    made = run_plan(plan_recipe(recipe, ["pretrain"]), recipe.runtime, Console(quiet=True))["pretrain"].artifact
    start = load_network(made.folder)
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), load_network(folder).parameters(), strict=True))


def test_a_disk_too_small_for_the_checkpoints_is_told_before(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain_checkpoints, "free", lambda folder: 1000)
    _, said = pretrained(stopped, copied(stopped, "full"), epochs=2)
    assert "warning: " in said and "1,000 bytes are free, the checkpoints need" in said


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    work = Work(tmp_path, {}, Runtime(device="cuda"), Console(), tmp_path / "log")
    with pytest.raises(RecipeError, match=r"runtime\.device: found no GPU .* give auto or cpu"):
        choose_device(work)
