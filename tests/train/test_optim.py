"""The learning rate by its formula, one rate a layer, and decay on matrices only."""

import math

import pytest
from torch import nn

from tests.tiny import network
from workbench.recipe.schema import Optim
from workbench.train.optim import adamw, rate, set_rate


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 0.1),  # the first of ten steps of warmup
        (4, 0.5),
        (9, 1.0),
        (10, 1.0),  # cos 0
        (40, 0.75),  # a third of the way: (1 + cos 60°) / 2
        (55, 0.5),
        (70, 0.25),
        (99, (1 + math.cos(math.pi * 89 / 90)) / 2),
    ],
)
def test_rate_rises_in_a_line_and_falls_in_a_cosine(step: int, share: float) -> None:
    assert rate(step, 100, Optim(warmup=0.1)) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("warmup", [0, 0.05, 0.5, 1])
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_rate_is_a_share_whatever_the_length(warmup: float, steps: int) -> None:
    shares = [rate(step, steps, Optim(warmup=warmup)) for step in range(steps)]
    assert all(0 < share <= 1 for share in shares)
    top = shares.index(max(shares))
    assert max(shares) == 1 and shares[:top] == sorted(shares[:top]) and shares[top:] == sorted(shares[top:])[::-1]


def groups(model: nn.Module, **changes: float) -> dict[str, dict[str, float]]:
    """Each parameter's group, by name."""
    optimizer = adamw(model, Optim(lr=1.0, weight_decay=0.3), **changes)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: group for group in optimizer.param_groups for p in group["params"]}


class Wrapped(nn.Module):
    """As a fine-tuning wraps it: another prefix, and a head above all."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()
        self.head = nn.Linear(32, 2)


def test_each_layer_learns_slower_than_the_next_higher_one() -> None:
    for model in (network(), Wrapped()):
        found = groups(model, layer_decay=0.5)
        assert found.keys() == dict(model.named_parameters()).keys()
        for name, group in found.items():
            below = ("words.", "_positions.", "image_embedder.", "embedding_norm.")
            height = next((h for h in (0, 1) if f"encoder.layers.{h}." in name), 2)
            expected = 0.125 if any(part in name for part in below) else 0.25 * 2**height
            assert group["peak"] == expected, name


def test_without_layer_decay_all_learn_at_one_rate() -> None:
    assert {group["peak"] for group in groups(network()).values()} == {1.0}


def test_norms_and_biases_do_not_decay() -> None:
    model = network()
    found = groups(model, layer_decay=0.9)
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    for name, group in found.items():
        spared = name.endswith("bias") or name.rpartition(".")[0] in norms
        assert group["weight_decay"] == (0.0 if spared else 0.3), name


def test_every_group_takes_its_share_of_its_own_rate() -> None:
    optimizer = adamw(network(), Optim(lr=0.02), layer_decay=0.5)
    set_rate(optimizer, 0.25)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx(
        [0.000625, 0.00125, 0.0025, 0.005]
    )
    set_rate(optimizer, 1)  # from the peak again, not from the last rate
    assert max(group["lr"] for group in optimizer.param_groups) == 0.02
