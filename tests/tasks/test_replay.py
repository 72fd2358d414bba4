"""A step that was left out is kept, run again and explained."""

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from tests.ranks import ranks
from tests.tasks import shop
from tests.tiny import SHAPE, batch, network
from workbench.batch import Batch
from workbench.cli import app
from workbench.errors import DataError
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Checkpoints as When
from workbench.recipe.schema import Objectives, Optim
from workbench.tasks.objective import Pretraining
from workbench.tasks.replay import Replay, replay
from workbench.tasks.replay_told import LISTINGS, meaning, table, told, write
from workbench.train import bad_steps
from workbench.train.bad_steps import BadSteps
from workbench.train.checkpoint import Position
from workbench.train.checkpoints import Checkpoints
from workbench.train.found import Found
from workbench.train.loop import Plan, fit, seed_of, updates_of
from workbench.train.step import Updates
from workbench.train.world import World

CPU = torch.device("cpu")
PLAN = Plan(6, Optim(lr=1e-3, bad_steps=5), seed=7, precision="bf16", log_every=1)
NONE = When(minutes=None)
POISONED = 3  # a step, from 0
ABOUT = {"shape": asdict(SHAPE), "dropout": 0.3, "objectives": Objectives().model_dump(mode="json")}


def micro_batches(step: int) -> list[Batch]:
    first, second = batch([1, 6, 3], [1, 2, 0], seed=2 * step), batch([4, 5], [3, 1], seed=2 * step + 1)
    return [first, replace(second, rows_B=torch.tensor([7, 8]))]


def dark(batches: list[Batch]) -> list[Batch]:
    """Row 8's picture is not a number."""
    pixels = batches[1].pixels_BCHW.float()
    pixels[1] = math.nan
    return [batches[0], replace(batches[1], pixels_BCHW=pixels)]


def listings(rows: Sequence[int]) -> list[dict[str, Any]]:
    return [{"row": row, "id": f"sku {row}", "title": f"lamp {row}", "group": row} for row in rows]


def kept(
    folder: Path,
    make: Any = micro_batches,
    plan: Plan = PLAN,
    poison: Any = lambda model, step: None,
    said: list[str] | None = None,
) -> tuple[Pretraining, list[dict[str, Any]]]:
    """Train with what keeps bad steps: the objective and the lines of the log."""
    folder.mkdir(exist_ok=True, parents=True)
    model = network(0.3)
    task = Pretraining(model, Objectives())

    def batches(first: int, size: int) -> Iterator[list[Batch]]:
        for step in range(first, plan.steps):
            poison(model, step)
            yield make(step)

    say = said.append if said is not None else print
    skipped = BadSteps(folder / "bad", task, plan, lambda step, size: make(step), ABOUT, listings, say)
    fit(task, batches, plan, folder, Checkpoints(folder / "checkpoints", {}, NONE), CPU, skipped=skipped, say=say)
    return task, [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def poisoned(step: int) -> list[Batch]:
    return dark(micro_batches(step)) if step == POISONED else micro_batches(step)


@pytest.fixture(scope="module")
def by_picture(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    folder, said = tmp_path_factory.mktemp("picture"), list[str]()
    kept(folder, poisoned, said=said)
    (line,) = said
    assert line.startswith("step 4 was left out, mlm, recon, grad_norm not finite; `mlim replay ")
    assert line.endswith(f"{folder}/bad/step-00000004` looks at it")
    return replay(folder / "bad" / "step-00000004", CPU)


def test_a_poisoned_picture_is_named(by_picture: Replay) -> None:
    assert by_picture.inputs == {8: "its pixels aren't finite"}
    assert not by_picture.weights
    assert [run.precision for run in by_picture.passes] == ["bf16", "fp32"]
    for run in by_picture.passes:
        assert run.rows == [8]
        first = run.watch.first_output
        assert first and first.module.startswith("network.image_embedder")
        assert first.rows == [8] or first.rows == []
        assert math.isfinite(run.by_listing[7]["recon"])
        assert len(run.by_listing) == 5
    assert "row 8 'sku 8' 'lamp 8'" in meaning(by_picture)
    assert any("its pixels aren't finite" in line for line in told(by_picture))


def test_its_listings_are_told_the_worst_first(by_picture: Replay) -> None:
    header, rows = table(by_picture)
    assert header == ["row", "id", "title", "mlm bf16", "recon bf16", "mlm fp32", "recon fp32"]
    assert rows[0][:3] == ["8", "sku 8", "lamp 8"]
    assert {row[0] for row in rows} == {"0", "1", "2", "7", "8"}
    assert Path(write(by_picture)).name == LISTINGS
    assert (by_picture.folder / LISTINGS).read_text().splitlines()[1].startswith("8,sku 8,lamp 8,")


def test_a_poisoned_weight_is_named(tmp_path: Path) -> None:
    def poison(model: Any, step: int) -> None:
        if step == POISONED:
            model.encoder.layers[1].up.bias.data[3] = math.inf

    kept(tmp_path, poison=poison, plan=replace(PLAN, steps=4))
    found = replay(tmp_path / "bad" / "step-00000004", CPU)
    assert found.weights == {"network.encoder.layers.1.up.bias": 1}
    first = found.passes[0].watch.first_output
    assert first
    assert first.module == "network.encoder.layers.1.up (Linear)"
    assert not first.arrived
    assert first.rows == [0, 1, 2]
    assert "weights themselves" in meaning(found)
    assert any("network.encoder.layers.1.up (Linear), " in line for line in told(found))


def test_a_listing_with_nothing_to_read_is_named(tmp_path: Path) -> None:
    """Attention over nothing is not a number."""

    def make(step: int) -> list[Batch]:
        first, second = micro_batches(step)
        real, pictured = second.text_real_BL.clone(), second.has_image_B.clone()
        real[0], pictured[0] = False, False
        return (
            [first, replace(second, text_real_BL=real, has_image_B=pictured)] if step == POISONED else [first, second]
        )

    kept(tmp_path, make)
    found = replay(tmp_path / "bad" / "step-00000004", CPU)
    assert found.inputs == {7: "it has neither text nor picture"}
    first = found.passes[1].watch.first_output
    assert first
    assert (first.module, first.arrived, first.rows) == ("network.encoder.layers.0.out (Linear)", True, [7])


def test_what_only_fp16_can_not_hold_is_told_so(tmp_path: Path) -> None:
    def poison(model: Any, step: int) -> None:
        if step == POISONED:
            model.encoder.layers[0].up.weight.data *= 1e6

    kept(tmp_path, plan=replace(PLAN, precision="fp16", steps=4), poison=poison)
    found = replay(tmp_path / "bad" / "step-00000004", CPU)
    run, exact = found.passes
    assert not run.finite
    assert exact.finite
    assert "model.precision: bf16" in meaning(found)
    assert run.watch.first_output
    assert run.watch.first_output.module.startswith("network.encoder.layers.0.")
    assert exact.watch.largest(1)[0].largest > 65504


@pytest.mark.parametrize("factor", [1e25, 1e36])
def test_a_gradient_that_is_not_finite_is_found_on_its_way_back(factor: float, tmp_path: Path) -> None:
    """What a layer makes small and the next one large again is finite, but not the gradient: or not its square."""

    def poison(model: Any, step: int) -> None:
        if step == POISONED:
            model.image_decoder.layers[0].weight.data /= factor
            model.image_decoder.layers[0].bias.data /= factor
            model.image_decoder.layers[2].weight.data *= factor

    kept(tmp_path, plan=replace(PLAN, precision="fp32", steps=4), poison=poison)
    found = replay(tmp_path / "bad" / "step-00000004", CPU)
    assert not found.passes[0].rows
    assert any("largest gradients: network.image_decoder.layers.0." in line for line in told(found))
    assert "every loss is finite and the gradient isn't" in meaning(found)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_finite_step_gives_the_logged_losses(precision: Any, tmp_path: Path) -> None:
    plan = replace(PLAN, precision=precision)
    task = Pretraining(network(0.3), Objectives())
    keep = BadSteps(tmp_path / "bad", task, plan, lambda step, size: micro_batches(step), ABOUT, listings, print)

    def batches(first: int, size: int) -> Iterator[list[Batch]]:
        for step in range(first, plan.steps):
            if step == POISONED:
                keep(Found(step + 1, {"mlm": math.nan}, math.nan, 1.0), Position(step))
            yield micro_batches(step)

    fit(task, batches, plan, tmp_path, Checkpoints(tmp_path / "checkpoints", {}, NONE), CPU)
    logged = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[POISONED])
    found = replay(tmp_path / "bad" / "step-00000004", CPU)
    run = found.passes[0]
    assert run.losses | {"grad_norm": run.norm} == {name: logged[name] for name in ("mlm", "recon", "grad_norm")}
    assert all(run.finite and not run.rows for run in found.passes)
    assert sum(losses["mlm"] for losses in run.by_listing.values()) / 7 == pytest.approx(logged["mlm"], rel=1e-5)
    assert "finite here" in meaning(found)
    later = {"step": 4, "weights_after": 9}
    assert "some steps later" in meaning(replace(found, said=found.said | later))


def test_the_training_goes_on_as_if_that_batch_had_not_been(tmp_path: Path) -> None:
    """AdamW's count of steps apart, a poisoned step changes nothing, and its place in the schedule is passed."""
    with_it, log = kept(tmp_path / "with", poisoned)
    assert log[3] == {"step": 4, "skipped": ["mlm", "recon", "grad_norm"]}
    assert all(weight.isfinite().all() for weight in with_it.model.parameters())
    nothing, _ = kept(
        tmp_path / "other", lambda step: dark(micro_batches(0)) if step == POISONED else micro_batches(step)
    )
    for (name, one), other in zip(with_it.model.named_parameters(), nothing.model.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_only_the_first_three_are_kept(tmp_path: Path) -> None:
    kept(tmp_path, lambda step: dark(micro_batches(step)), plan=replace(PLAN, steps=5))
    assert sorted(p.name for p in (tmp_path / "bad").iterdir()) == [f"step-0000000{n}" for n in (1, 2, 3)]


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*what: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bad_steps, "save_file", full)
    said: list[str] = []
    kept(tmp_path, poisoned, said=said)
    words = "it could not be kept: [Errno 28] No space left on device"
    assert said == [f"step 4 was left out, mlm, recon, grad_norm not finite; {words}"]
    assert not list((tmp_path / "bad").iterdir())


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no step that can be run again .*step\.json"):
        replay(tmp_path, CPU)
    kept(tmp_path, poisoned)
    folder = tmp_path / "bad" / "step-00000004"
    (folder / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"no step that can be run again"):
        replay(folder, CPU)


# Several ranks, and a whole pre-training


def of_rank(world: World, folder: Path) -> dict[str, float]:
    """The step's losses and norm as the ranks have them together; the first has the first micro-batch."""
    task = Pretraining(network(0.3), Objectives())
    updates = updates_of(task, PLAN, CPU, world)
    own = [micro_batches(POISONED)[world.rank]]
    torch.manual_seed(seed_of(PLAN.seed, POISONED, world.rank))
    keep = BadSteps(folder, task, PLAN, lambda step, size: own, ABOUT, listings, print, world)
    keep(Found(POISONED + 1, {"mlm": math.nan}, math.nan, 1.0), Position(POISONED))
    torch.manual_seed(seed_of(PLAN.seed, POISONED, world.rank))
    found = updates.step(own)
    assert found is not None
    return dict(zip(("mlm", "recon", "grad_norm"), found.tolist(), strict=False))


def test_the_batches_of_all_ranks_are_run_as_one(tmp_path: Path) -> None:
    first, second = ranks(2, of_rank, tmp_path)
    assert first == second
    found = replay(tmp_path / "step-00000004", CPU)
    assert found.ranks == found.said["ranks"] == 2
    assert set(found.passes[0].by_listing) == {0, 1, 2, 7, 8}
    run = found.passes[0]
    assert run.losses | {"grad_norm": run.norm} == pytest.approx(first, rel=1e-5)

    (tmp_path / "step-00000004" / "batch-1.safetensors").unlink()
    alone = replay(tmp_path / "step-00000004", CPU)
    assert "the batches of 1 of 2 ranks are here: losses are of these alone" in told(alone)


def test_a_pre_training_keeps_a_bad_step_and_the_command_explains_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    gradients, calls = Updates.gradients, []

    def spoiled(updates: Updates, batches: Sequence[Batch]) -> torch.Tensor:
        calls.append(gradients(updates, batches))
        return calls[-1] * (math.nan if len(calls) == 2 else 1)

    monkeypatch.setattr(Updates, "gradients", spoiled)
    tree = shop.tree(tmp_path / "cache")
    tree["pretrain"]["log_every"] = 1
    recipe, said = recipe_from_tree(tree, tmp_path), io.StringIO()
    stages = run_plan(plan_recipe(recipe, ["pretrain"]), recipe.runtime, Console(file=said, width=500))
    made, ingested = stages["pretrain"], stages["ingest"].artifact
    assert '{"step": 2, "skipped": ["mlm", "recon"]}' in made.artifact.path("metrics.jsonl").read_text().splitlines()
    (folder,) = (tmp_path / "cache" / "bad-steps" / f"pretrain-{made.artifact.key[:16]}").iterdir()
    assert f"`mlim replay {folder}` looks at it" in said.getvalue()
    monkeypatch.undo()

    output = CliRunner().invoke(app, ["replay", str(folder)]).output
    assert f"in bf16: mlm {calls[1][0]:.4g}, recon {calls[1][1]:.4g}, " in output
    assert "meaning: this batch is finite here" in output
    header, first, *_ = (folder / LISTINGS).read_text().splitlines()
    assert header == "row,id,title,mlm bf16,recon bf16,mlm fp32,recon fp32"
    row, id_, title, *_ = first.split(",")
    known = pl.read_parquet(ingested.path("items.parquet")).row(int(row), named=True)
    assert (id_, title) == (known["id"], known["title"])
