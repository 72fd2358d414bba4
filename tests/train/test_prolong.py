"""A training of another length: the same to the bit as if it had that length from the start, or begun anew and told."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.toy import OPTIM, Curve, lines, points, state, train, weights
from workbench.batches.order import side_at
from workbench.recipe.schema import Optim
from workbench.train.checkpoint import Position
from workbench.train.loop import Plan, Progress
from workbench.train.optim import fork, rate
from workbench.train.prolong import planned, shared

CONSTANT = Optim(lr=0.01, schedule="constant", warmup_steps=5, cooldown=0.2, clip=1.0)
PLAN = Plan(steps=40, optim=CONSTANT, seed=3, precision="fp32", log_every=7, average=0.9)


def run(folder: Path, plan: Plan, every: int = 9) -> tuple[Curve, list[int], list[str]]:
    """Train with dropout and a validation every 10 steps and at the end: the steps that were done, the lines told."""
    seen: list[Progress] = []
    said: list[str] = []
    valid = lambda step: [points(99)] if step % 10 == 0 or step == plan.steps else None  # noqa: E731
    how = {"valid": valid, "progress": seen.append, "say": said.append}
    _, task = train(folder, plan, task=Curve(dropout=0.3), every=every, **how)
    return task, [progress.position.step for progress in seen], said


def same(one: Path, other: Path, steps: int) -> bool:
    (tensors, position), (others, another) = state(one, steps), state(other, steps)
    assert tensors.keys() == others.keys()
    equal = all(torch.equal(tensors[name], others[name]) for name in tensors)
    return equal and lines(one) == lines(other) and replace(position, seconds=0) == replace(another, seconds=0)


@pytest.mark.parametrize("every", [9, 50])  # steps between checkpoints; 50: there is but that before the cooldown
@pytest.mark.parametrize("cooldown", [0.2, 0.5, 0.0])
def test_forty_steps_then_sixty_are_sixty(every: int, cooldown: float, tmp_path: Path) -> None:
    plan = replace(PLAN, optim=CONSTANT.model_copy(update={"cooldown": cooldown}))
    begins = {0.2: 32, 0.5: 20, 0.0: 39}[cooldown]
    run(tmp_path / "parts", plan, every)
    task, done, said = run(tmp_path / "parts", replace(plan, steps=60), every)
    assert done == list(range(begins + 1, 61))
    assert said == [f"goes on from step {begins}, now to 60 in place of 40"]
    whole, _, _ = run(tmp_path / "whole", replace(plan, steps=60), every)
    assert same(tmp_path / "parts", tmp_path / "whole", 60)
    assert all(torch.equal(a, b) for a, b in zip(weights(task).values(), weights(whole).values(), strict=True))


def test_another_cooldown_is_another_length(tmp_path: Path) -> None:
    plan = replace(PLAN, optim=CONSTANT.model_copy(update={"cooldown": 0.1}))  # from step 36 on, in place of 32
    run(tmp_path / "parts", PLAN)
    _, done, said = run(tmp_path / "parts", plan)
    assert done == list(range(33, 41)) and said == ["goes on from step 32 of 40"]
    run(tmp_path / "whole", plan)
    assert same(tmp_path / "parts", tmp_path / "whole", 40)


def test_a_shorter_training_takes_from_a_longer_one_what_it_shares(tmp_path: Path) -> None:
    run(tmp_path / "parts", replace(PLAN, steps=60))
    _, done, said = run(tmp_path / "parts", PLAN)
    assert done == list(range(28, 41)) and said == ["goes on from step 27, now to 40 in place of 60"]
    run(tmp_path / "whole", PLAN)
    assert same(tmp_path / "parts", tmp_path / "whole", 40)


def test_a_cosine_begins_anew_and_says_why(tmp_path: Path) -> None:
    plan = replace(PLAN, optim=OPTIM)
    run(tmp_path / "parts", plan)
    _, done, (said,) = run(tmp_path / "parts", replace(plan, steps=60))
    assert done == list(range(1, 61))
    assert said.startswith("begins anew: it came to step 40 of 40; with 60 it has other rates")
    assert "from step 1 on" in said  # its warmup is a share of the steps
    assert "schedule: constant, warmup_steps" in said
    run(tmp_path / "whole", replace(plan, steps=60))
    assert same(tmp_path / "parts", tmp_path / "whole", 60)


def test_a_training_of_the_same_length_says_where_it_goes_on(tmp_path: Path) -> None:
    assert run(tmp_path, PLAN)[2] == []
    assert run(tmp_path, PLAN)[2] == ["goes on from step 40 of 40"]


@pytest.mark.parametrize(
    ("optim", "old", "new", "steps"),
    [
        (CONSTANT, 40, 60, 33),  # the cooldown's first lower rate is at step 33
        (CONSTANT, 60, 40, 33),
        (CONSTANT, 40, 40, 40),
        (CONSTANT.model_copy(update={"cooldown": 0.0}), 40, 60, 39),  # the last is logged
        (CONSTANT.model_copy(update={"warmup_steps": None, "warmup": 0.1}), 40, 60, 0),
        (OPTIM, 40, 60, 0),
        (OPTIM.model_copy(update={"warmup_steps": 5}), 40, 60, 6),  # the cosine's first value is 1 at any length
        (CONSTANT, 4, 60, 3),  # within the warmup
    ],
)
def test_shared_are_the_steps_whose_rates_are_equal(optim: Optim, old: int, new: int, steps: int) -> None:
    before = planned(replace(PLAN, steps=old, optim=optim), Position(step=1))
    assert shared(replace(PLAN, steps=new, optim=optim), before) == steps
    rates = [[rate(step, length, optim) for step in range(length)] for length in (old, new)]
    assert rates[0][:steps] == rates[1][:steps]
    assert old == new or rates[0][steps : steps + 1] != rates[1][steps : steps + 1] or steps == min(old, new) - 1


def test_small_pictures_first_are_shared_while_the_side_is_the_same() -> None:
    sides = ((0.25, 8), (0.25, 12))  # 8 until step 10 of 40, and until step 15 of 60
    plan = replace(PLAN, steps=60, side=lambda step, steps: side_at(sides, step, steps))
    assert shared(plan, planned(replace(plan, steps=40))) == 10
    assert [side_at(sides, step, 40) for step in (0, 9, 10, 19, 20, 39)] == [8, 8, 12, 12, None, None]


def test_the_fork_is_the_last_step_before_the_cooldown() -> None:
    assert fork(40, CONSTANT) == 32 and rate(32, 40, CONSTANT) == 1 > rate(33, 40, CONSTANT)
    assert fork(40, OPTIM) == 0
    assert fork(1, CONSTANT) == fork(0, CONSTANT) == 0
