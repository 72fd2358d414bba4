"""A step that isn't finite on one rank changes nothing on any, whether each has the whole model or a part of it."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.ranks import ranks
from tests.train.toy import CPU, OPTIM, Curve, Points, points
from workbench.train.loop import Plan, updates_of
from workbench.train.spread import Parallel
from workbench.train.state import gathered
from workbench.train.world import World

BAD = Points(torch.ones(2, 3), torch.full((2,), float("nan")))


def stepped(world: World, how: Parallel) -> Any:
    """What each of three steps found, of which the second isn't finite on the last rank; the chief's states after."""
    plan = Plan(3, OPTIM, seed=0, precision="fp32", parallel=how, average=0.8)
    updates = updates_of(Curve(), plan, CPU, world)
    found, states = [], []
    for step in range(3):
        values = updates.step([BAD if (step, world.rank) == (1, 1) else points(2 * step + world.rank)])
        assert values is not None
        found.append(values.isfinite().tolist())
        now = gathered(updates.task.model, updates.optimizer, world)
        states.append({name: tensor.numpy().copy() for name, tensor in now.items()})
    return found, states


@pytest.mark.parametrize("how", ["replicate", "shard"])
def test_a_step_that_is_not_finite_on_one_rank_is_skipped_on_all(how: Parallel) -> None:
    (found, states), (other, _) = ranks(2, stepped, how)
    assert found == other == [[True, True, True], [False, False, True], [True, True, True]]  # error, norm, scale
    slots = {name.split(".")[1] for name in states[0] if name.startswith("optimizer.")}
    assert slots == {"step", "exp_avg", "exp_avg_sq", "average"}
    for name, tensor in states[1].items():
        np.testing.assert_array_equal(tensor, states[0][name], err_msg=name)
        assert (states[2][name] != tensor).any()
