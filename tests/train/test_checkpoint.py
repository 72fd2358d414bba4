"""A checkpoint holds the weights, the optimizer's moments and the step; another model's is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import SHAPE, network
from workbench.errors import ArtifactError
from workbench.model.mlim import Mlim
from workbench.recipe.schema import Optim
from workbench.train import checkpoint
from workbench.train.optim import adamw


def stepped(model: Mlim) -> torch.optim.AdamW:
    optimizer = adamw(model, Optim(lr=0.01))
    step(model, optimizer)
    return optimizer


def step(model: Mlim, optimizer: torch.optim.AdamW) -> None:
    sum(parameter.square().sum() for parameter in model.parameters()).backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_read_checkpoint_goes_on_as_the_written_one(tmp_path: Path) -> None:
    written = network()
    optimizer = stepped(written)
    checkpoint.save(tmp_path / "state", written, optimizer, 12)
    read = network(seed=1)
    other = adamw(read, Optim(lr=0.01))
    assert checkpoint.load(tmp_path / "state", read, other) == 12
    step(written, optimizer)
    step(read, other)
    for a, b in zip(written.parameters(), read.parameters(), strict=True):
        assert torch.equal(a, b)
        assert optimizer.state[a].keys() == other.state[b].keys() == {"step", "exp_avg", "exp_avg_sq"}


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        model = network()
        checkpoint.save(tmp_path / name, model, stepped(model), 3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("shape", [replace(SHAPE, vocabulary=41), replace(SHAPE, patch=8)])
def test_weights_of_another_model_are_refused(tmp_path: Path, shape: object) -> None:
    checkpoint.write(tmp_path / "weights", dict(network().named_parameters()))
    same = network(seed=1)
    checkpoint.read_weights(tmp_path / "weights", same)
    assert all(map(torch.equal, same.parameters(), network().parameters()))
    with pytest.raises(ArtifactError, match=r"weights: not the weights of this model"):
        checkpoint.read_weights(tmp_path / "weights", network(shape=shape))
