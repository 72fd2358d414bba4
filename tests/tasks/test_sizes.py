"""What a recipe leaves open is found once, is the same on all ranks, and stays."""

import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.ranks import ranks
from tests.tasks import shop
from tests.tiny import MARKER, listings
from workbench.artifacts.store import Artifact
from workbench.errors import Interrupted, RecipeError
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Optim, Pretrain
from workbench.tasks import sizes
from workbench.tasks.catalog import Catalog
from workbench.tasks.classify.net import ClassBatch, ClassLoss
from workbench.tasks.sizes import sized, worst
from workbench.train import loop
from workbench.train.checkpoint import Position
from workbench.train.world import ALONE, World

AUTO: Any = "auto"
ONE: dict[str, Any] = {"scratch": None, "pretrained": {"epochs": 1, "optim": {"batch_size": 16}}}


@pytest.mark.parametrize(
    ("asked", "before", "found", "told"),
    [
        ({"batch_size": 256, "micro_batch": AUTO}, [], (256, 40), "optim.micro_batch: 40, as found here"),
        ({"batch_size": 32, "micro_batch": AUTO}, [], (32, 32), "optim.micro_batch: 32"),
        ({"batch_size": AUTO}, [], (40, None), "optim.batch_size: 40, as found here; write it into the recipe"),
        ({"batch_size": AUTO, "micro_batch": 8}, [], (40, 8), "optim.batch_size: 40"),
        ({"batch_size": AUTO, "micro_batch": AUTO}, [Position(9, micro_batch=2, batch_size=16)], (16, 2), ""),
        ({"batch_size": 256, "micro_batch": AUTO}, [Position(9, micro_batch=5, batch_size=256)], (256, 5), ""),
    ],
)
def test_what_is_open_is_found_or_kept(
    asked: dict[str, Any], before: list[Position], found: tuple[int, int | None], told: str
) -> None:
    said: list[str] = []
    optim = sized(Optim(**asked), 10**6, before, lambda most: min(most, 40), ALONE, said.append)
    assert (optim.batch_size, optim.micro_batch) == found
    assert " ".join(said).startswith(told)
    assert bool(said) == bool(told)


@pytest.mark.parametrize(("count", "most"), [(10**6, 32768), (1897, 64), (640, 32), (639, 16), (40, 2), (3, 1)])
def test_a_found_batch_leaves_an_epoch_twenty_steps(count: int, most: int) -> None:
    assert sized(Optim(batch_size=AUTO), count, [], lambda most: most, ALONE, print).batch_size == most


def of_rank(world: World) -> tuple[int, int | None, list[str]]:
    said: list[str] = []
    optim = sized(Optim(batch_size=AUTO, micro_batch=AUTO), 10**6, [], lambda most: 24, world, said.append)
    before = [Position(3, micro_batch=4, batch_size=12)] if world.chief else []
    kept = sized(Optim(batch_size=AUTO, micro_batch=AUTO), 10**6, before, lambda most: 24, world, said.append)
    assert (kept.batch_size, kept.micro_batch) == (12, 4)
    return optim.batch_size, optim.micro_batch, said


def test_a_batch_is_what_fits_on_all_ranks_and_what_the_chief_knows_is_kept() -> None:
    first, second = ranks(2, of_rank)
    assert first[:2] == second[:2] == (48, 24)
    assert len(first[2]) == 1 and "(24 on each of 2)" in first[2][0]
    assert second[2] == []


def test_the_worst_batch_has_the_longest_texts_and_is_masked_most() -> None:
    words = [[MARKER, *range(6, 6 + length)] for length in (2, 9, 1, 7, 8, 3)]

    class All(Catalog):
        def pictured(self, part: str) -> Any:
            return sizes.np.arange(6)

    catalog = All(None, listings(words, [True] * 6, side=4), None)  # type: ignore[arg-type]
    pretrain = Pretrain()
    batch = worst(catalog, pretrain)(3)
    assert batch.rows_B.tolist() == [1, 4, 3]
    assert batch.pixels_BCHW.shape == (3, 3, 4, 4)
    how: dict[str, Any] = {"seed": pretrain.seed, "masking": pretrain.masking}
    each = [int(catalog.listings.batch(sizes.np.arange(6), epoch=e, **how).text_masked_BL.sum()) for e in range(1, 9)]
    whole = worst(catalog, pretrain)(6)
    assert int(whole.text_masked_BL.sum()) == max(each) > min(each)


def test_a_model_spread_over_ranks_needs_numbers() -> None:
    pretrain, plan = Pretrain(optim=Optim(micro_batch=AUTO)), loop.Plan(1, Optim(), 0, parallel="shard")
    nothing: Any = None
    with pytest.raises(RecipeError, match=r"runtime\.parallel: shard\); give batch_size and micro_batch as numbers"):
        sizes.with_sizes(pretrain, plan, nothing, nothing, nothing, nothing, World(0, 2), print)


# In a whole pre-training


def pretrained(folder: Path, cache: str, optim: dict[str, Any], **how: Any) -> tuple[Artifact, str]:
    tree = shop.tree(folder / cache)
    tree["pretrain"] = {"epochs": 1, "log_every": 1, "optim": optim}
    tree["runtime"] |= how
    recipe, said = recipe_from_tree(tree, folder), io.StringIO()
    made = run_plan(plan_recipe(recipe, ["pretrain"]), recipe.runtime, Console(file=said, width=200))
    return made["pretrain"].artifact, said.getvalue()


def test_a_stopped_training_keeps_what_it_found_and_equals_one_with_that_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    auto = {"batch_size": "auto", "micro_batch": "auto"}
    fit = loop.fit

    def stopping(*args: Any, stop: Any, **how: Any) -> Any:
        def wish() -> bool:
            os.kill(os.getpid(), signal.SIGTERM)
            return bool(stop())

        return fit(*args, stop=wish, **how)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(loop, "fit", stopping)
        pretrained(tmp_path, "cache", auto)
    monkeypatch.setattr(sizes, "largest", None)  # nothing is tried again
    artifact, said = pretrained(tmp_path, "cache", auto)
    found = artifact.summary["batch_size"]
    assert found == 2
    assert "goes on from step 1 of " in said

    given, _ = pretrained(tmp_path, "given", {"batch_size": found})
    assert "batch_size" not in given.summary
    assert shop.contents(artifact) == shop.contents(given)


def test_other_commands_need_a_number(tmp_path: Path) -> None:
    shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache")
    tree["pretrain"]["optim"] = {"batch_size": "auto"}
    recipe = recipe_from_tree(tree, tmp_path)
    made = run_plan(plan_recipe(recipe, ["split", "tokens"]), recipe.runtime, Console(file=io.StringIO()))
    from workbench.tasks.samples_write import export_samples

    artifacts = {name: m.artifact for name, m in made.items()}
    with pytest.raises(RecipeError, match=r"batch_size: auto is found by pre-training"):
        export_samples(artifacts, recipe.model, recipe.pretrain, recipe.runtime, 1, tmp_path / "out", "datasets")


def test_fine_tuning_takes_a_number(tmp_path: Path) -> None:
    shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache", match=shop.match(pretrained={"optim": {"batch_size": "auto"}}))
    with pytest.raises(RecipeError, match=r"batch_size: auto is for pre-training"):
        recipe_from_tree(tree, tmp_path)


def test_fine_tuning_is_done_in_halves_where_it_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.build(tmp_path)
    seen: list[int] = []
    sums = ClassLoss.sums

    def greedy(task: ClassLoss, batch: ClassBatch) -> Any:
        seen.append(len(batch))
        if len(batch) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return sums(task, batch)

    monkeypatch.setattr(ClassLoss, "sums", greedy)
    artifact, _ = shop.make(tmp_path, tmp_path / "cache", "classify", classify={"label": "kind", **ONE})
    assert seen[:4] == [16, 8, 4, 4]
    assert max(seen[2:]) == 4
    assert "out of memory with 8 listings at once: from here on 4" in capsys.readouterr().err
    assert artifact.path("results.json").exists()
