"""What processes say to each other, and what each of them says when one fails, hangs or dies."""

import os
import time
from typing import Any

import pytest
import torch

from tests.ranks import ranks
from tests.tiny import batch, network
from tests.train.test_ranks import CPU, PLAN, pick
from workbench.batches.order import deal
from workbench.errors import DataError, MlimError, Told
from workbench.recipe.schema import Objectives
from workbench.tasks.objective import Pretraining
from workbench.train.loop import evaluate, updates_of
from workbench.train.world import ALONE, Lost, World


def words(world: World) -> Any:
    said = world.heard({"step": 3, "é": None} if world.chief else {"not": "heard"})
    return said, world.heard(None), world.total([world.rank, 0.5])


def test_all_hear_the_chief_and_add_up() -> None:
    expected = ({"step": 3, "é": None}, None, [3.0, 1.5])
    assert ranks(3, words) == [expected] * 3
    assert words(ALONE) == ({"step": 3, "é": None}, None, [0.0, 0.5])


def turns(world: World) -> list[str]:
    if world.chief:
        time.sleep(0.3)
        world.say("data", "key")
    world.wait_for_all("turn")
    return [world.wait_for("data"), *([world.wait_for("of 1")] if world.chief else [world.say("of 1") or ""])]


def test_a_word_in_the_store_is_waited_for() -> None:
    assert ranks(2, turns) == [["key", ""]] * 2


def waiting(world: World) -> None:
    if world.chief:
        world.wait_for("what nobody says")
    raise DataError("no picture is there")


def test_nobody_waits_for_one_that_failed() -> None:
    first, second = ranks(2, waiting)
    assert (type(first), first.exit_code, str(second)) == (Told, 2, "no picture is there")


def scores(world: World) -> list[float]:
    """A loss for each of 21 listings, from each validated in a micro-batch of its own."""
    whole = batch([1 + n % 9 for n in range(21)], [1] * 21)
    task = Pretraining(network(), Objectives())
    updates = updates_of(task, PLAN, CPU, world)
    parts = deal(torch.arange(21).numpy(), 1, world.rank, world.size)
    found = evaluate(updates, (pick(whole, part) if len(part) else pick(whole, [0]).idle() for part in parts))
    each = [0.0] * 21
    for (place,) in filter(len, parts):
        each[place] = task.sums(pick(whole, [place]))["mlm"].item()
    each = world.total(each)
    assert found["mlm"] == pytest.approx(sum(each) / 21, rel=1e-6)
    return [*found.values(), *each]


def test_21_listings_get_21_predictions_on_any_number_of_ranks() -> None:
    one = scores(ALONE)
    assert len(one) == 2 + 21
    for size in (2, 4):
        for found in ranks(size, scores):
            assert found == one  # to the last digit


def failing(world: World, kind: str) -> None:
    for step in range(4):
        world.note(step)
        if (world.rank, step) == (1, 2):
            if kind == "data":
                raise DataError("feed.csv, line 3: no title")
            if kind == "killed":
                os.kill(os.getpid(), 9)
            time.sleep(8)
        world.total([step])


def test_the_first_that_fails_tells_and_all_end_with_its_code() -> None:
    first, second, third = ranks(3, failing, "data")
    assert (type(second), str(second)) == (DataError, "feed.csv, line 3: no title")
    assert [(type(other), other.exit_code) for other in (first, third)] == [(Told, 2)] * 2


def test_who_hangs_is_named_within_the_wait() -> None:
    begun = time.monotonic()
    found = ranks(3, failing, "hangs", wait=2)
    (told,) = [error for error in found if type(error) is MlimError]
    assert "waited 2 seconds for rank 1 (in step 3); look there" in str(told)
    assert time.monotonic() - begun < 20


def test_a_killed_one_is_missed_at_once() -> None:
    first, killed, third = ranks(3, failing, "killed")
    assert killed is None
    assert {type(first), type(third)} == {Lost, Told}
    (lost,) = [error for error in (first, third) if type(error) is Lost]
    assert "another process is gone; was it killed, or its machine? the same command goes on" in str(lost)
