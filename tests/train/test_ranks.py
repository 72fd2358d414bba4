"""Several processes train as one does: the same losses and weights, whatever a rank lacks and however they change."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.ranks import ranks
from tests.tiny import batch, network
from workbench.batch import Batch
from workbench.batches.order import cut, deal
from workbench.recipe.schema import Itc, Itm, Objectives, Optim, Recon
from workbench.tasks.objective import Pretraining
from workbench.train.checkpoint import METRICS
from workbench.train.checkpoints import Checkpoints
from workbench.train.loop import Plan, evaluate, fit, updates_of
from workbench.train.spread import Parallel, make_whole
from workbench.train.world import ALONE, World

CPU = torch.device("cpu")
STEPS = 6
PLAN = Plan(STEPS, Optim(lr=1e-4, warmup=0.3, batch_size=8), seed=3, precision="fp32", log_every=1)
MASKED = Objectives()
EVERYTHING = Objectives(itm=Itm(weight=1.0), itc=Itc(weight=1.0, width=8))
SPREADS: tuple[Parallel, ...] = ("replicate", "shard")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pick(whole: Batch, places: Sequence[int]) -> Batch:
    """Some listings of a batch, padded as the loader does."""
    at = torch.as_tensor(np.asarray(places))
    some = Batch(*(getattr(whole, f.name)[at] for f in fields(Batch)))
    longest = int(some.text_real_BL.sum(1).max())
    names = ("tokens_BL", "shown_BL", "text_real_BL", "text_masked_BL")
    return replace(some, **{name: getattr(some, name)[:, :longest] for name in names})


def without(whole: Batch, picture: Sequence[int] = (), text: Sequence[int] = ()) -> Batch:
    """The same without the pictures and texts of these places."""
    has_image_B, has_text_B = whole.has_image_B.clone(), whole.has_text_B.clone()
    has_image_B[list(picture)], has_text_B[list(text)] = False, False
    image_masked_BP = whole.image_masked_BP & has_image_B[:, None]
    text_masked_BL, text_real_BL = whole.text_masked_BL & has_text_B[:, None], whole.text_real_BL.clone()
    text_real_BL[~has_text_B, 2:] = False
    text = {"text_masked_BL": text_masked_BL, "text_real_BL": text_real_BL, "has_text_B": has_text_B}
    return replace(whole, has_image_B=has_image_B, image_masked_BP=image_masked_BP, **text)


def made(step: int) -> Batch:
    """The whole batch of a step. Of two ranks the second has no picture at step 1 and no text at step 2; the last batch
    of an epoch is of one listing."""
    if step % 3 == 2:
        return batch([5], [2], seed=step)
    whole = batch([1, 6, 3, 2, 7, 4, 4, 5], [1, 2, 0, 1, 5, 0, 2, 1], seed=step)
    return without(whole, picture=(1, 3, 5, 7)) if step % 3 == 0 else without(whole, text=(1, 3, 5, 7))


@dataclass(frozen=True)
class Training:
    folder: Path
    changes: Mapping[str, Any] = field(default_factory=dict)  # of PLAN
    objectives: Objectives = MASKED
    micro: int = 4
    stop: tuple[int, int] = (-1, 0)  # rank that asks for an end, steps it has done before the last

    def __call__(self, world: World) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
        """Steps done, the chief's log, and the weights."""
        folder = self.folder / f"rank-{world.rank}"
        folder.mkdir(parents=True, exist_ok=True)
        task, plan = Pretraining(network(), self.objectives), replace(PLAN, **self.changes)
        done = []

        def batches(first: int, micro_batch: int) -> Iterator[list[Batch]]:
            for step in range(first, plan.steps):
                whole = made(step)
                parts = cut(np.arange(len(whole)), self.micro, world.rank, world.size)
                yield [pick(whole, part) if len(part) else pick(whole, [0]).idle() for part in parts]

        def held_out(step: int) -> Iterator[Batch] | None:
            whole = made(100)
            parts = deal(np.arange(len(whole)), 3, world.rank, world.size)
            all_parts = (pick(whole, part) if len(part) else pick(whole, [0]).idle() for part in parts)
            return all_parts if step % 2 == 0 else None

        outcome = fit(
            task,
            batches,
            plan,
            folder,
            Checkpoints(self.folder / ("checkpoints" if world.chief else f"rank-{world.rank}"), {}),
            CPU,
            world=world,
            valid=held_out,
            progress=done.append,
            stop=lambda: (world.rank, len(done)) == self.stop,
        )
        make_whole(task.model)
        lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()] if world.chief else []
        return outcome.position.step, lines, {name: p.detach().numpy() for name, p in task.model.named_parameters()}


def same(left: Any, right: Any) -> None:
    """Losses, norms and weights to 1e-5."""
    assert left[0] == right[0]
    assert len(left[1]) == len(right[1])
    for one, other in zip(left[1], right[1], strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5)
    assert left[2].keys() == right[2].keys()
    for name, weights in left[2].items():
        np.testing.assert_allclose(weights, right[2][name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = Training(tmp_path_factory.mktemp("alone"))(ALONE)
    assert [line["step"] for line in found[1] if "lr" in line] == list(range(1, STEPS + 1))
    assert [line["step"] for line in found[1] if "valid_mlm" in line] == [2, 4, 6]
    return found


@pytest.mark.parametrize("how", SPREADS)
def test_two_ranks_train_as_one_process(how: Parallel, alone: Any, tmp_path: Path) -> None:
    first, second = ranks(2, Training(tmp_path, {"parallel": how}))
    same(first, alone)
    for name, weights in first[2].items():
        np.testing.assert_array_equal(second[2][name], weights)


def test_shares_of_3_and_97_masked_tokens_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    lengths, masked = [3, 10] * 10, [3, 10, *[0, 10] * 8, 0, 7]
    whole = batch(lengths, masked)
    assert [sum(masked[rank::2]) for rank in range(2)] == [3, 97]
    one, (first, second) = gradients(ALONE, whole), ranks(2, gradients, whole)
    assert one.keys() == first.keys() == second.keys()
    for name, gradient in one.items():
        np.testing.assert_allclose(first[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(first[name], second[name])


def gradients(world: World, whole: Batch) -> dict[str, Any]:
    """Of the whole batch, from Adam's first moment: (1 - 0.9) * gradient."""
    task = Pretraining(network(), Objectives())
    updates = updates_of(task, replace(PLAN, optim=Optim(clip=1e9)), CPU, world)
    updates.step([pick(whole, part) for part in cut(np.arange(len(whole)), 10, world.rank, world.size)])
    states = {name: updates.optimizer.state[p] for name, p in task.model.named_parameters()}
    return {name: (state["exp_avg"] / 0.1).numpy() for name, state in states.items()}


@pytest.mark.parametrize("how", SPREADS)
def test_every_objective_and_frozen_parts_hang_nobody(how: Parallel, tmp_path: Path) -> None:
    """What listings are compared with is a micro-batch, so a validation is dealt out in those of one process."""
    plan = {"parallel": how, "steps": 2}
    for objectives in (EVERYTHING, Objectives(itm=Itm(weight=1.0), recon=Recon(weight=0.0))):
        first, _ = ranks(2, Training(tmp_path / str(objectives.recon.weight), plan, objectives))
        updates = updates_of(Pretraining(network(), objectives), PLAN, CPU)
        updates.task.model.load_state_dict({name: torch.tensor(weights) for name, weights in first[2].items()})
        parts = (pick(made(100), part) for part in deal(np.arange(8), 3, 0, 1))
        expected = {f"valid_{name}": value for name, value in evaluate(updates, parts).items()}
        assert first[1][-1] == pytest.approx({"step": 2} | expected, rel=1e-5)


def test_a_state_goes_from_four_ranks_to_fewer_and_from_replicas_to_shards_and_back(alone: Any, tmp_path: Path) -> None:
    for nth, (size, how) in enumerate(((4, "shard"), (3, "replicate"), (2, "shard"), (2, "replicate")), 1):
        found = ranks(size, Training(tmp_path, {"parallel": how}, stop=(size - 1, 0)))
        assert [steps for steps, *_ in found] == [nth] * size  # one rank asked, all ended, after a step each
    same(Training(tmp_path)(ALONE), alone)


def test_what_four_ranks_saved_goes_on_with_one_two_or_three(alone: Any, tmp_path: Path) -> None:
    ranks(4, Training(tmp_path / "four", {"parallel": "shard"}, stop=(0, 2)))
    for size in (1, 2, 3):
        shutil.copytree(tmp_path / "four", folder := tmp_path / str(size))
        (steps, *rest), *_ = ranks(size, Training(folder)) if size > 1 else [Training(folder)(ALONE)]
        assert steps == STEPS
        same((steps, *rest), alone)


@pytest.mark.parametrize("how", SPREADS)
def test_averages_and_a_scaled_loss_are_those_of_one_process(how: Parallel, tmp_path: Path) -> None:
    plan = {"parallel": how, "precision": "fp16", "average": 0.8, "layer_decay": 0.9}
    first, second = ranks(2, Training(tmp_path / "two", plan))
    one = Training(tmp_path / "one", plan)(ALONE)
    for name, weights in one[2].items():
        if name.endswith("qkv.bias"):  # of no consequence on keys: their gradient is rounding, which Adam makes large
            weights[32:64] = first[2][name][32:64]
        np.testing.assert_allclose(first[2][name], weights, rtol=0, atol=1e-4, err_msg=name)  # a step is of 1e-4
        np.testing.assert_array_equal(first[2][name], second[2][name])
