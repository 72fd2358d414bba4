"""The learning rate by its formula, one rate a layer, and decay on matrices only."""

import math

import pytest
import torch
from torch import nn

from tests.tiny import network
from workbench.recipe.schema import Optim
from workbench.train.optim import adamw, fork, rate, set_rate


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


@pytest.mark.parametrize("length", [60, 100, 1000])
def test_a_constant_rate_is_that_of_any_length_until_its_cooldown(length: int) -> None:
    optim = Optim(schedule="constant", warmup_steps=10, cooldown=0.2)
    shares = [rate(step, length, optim) for step in range(length)]
    assert shares[:10] == pytest.approx([0.1 * (n + 1) for n in range(10)])
    begins = fork(length, optim)
    assert begins == length * 4 // 5
    assert shares[10 : begins + 1] == [1.0] * (begins - 9)
    assert shares[begins:] == pytest.approx([1 - n / (length - begins) for n in range(length - begins)])


def test_fused_adamw_skips_and_unscales_by_tensors() -> None:
    """The two tensors that GradScaler gives it, which nobody waits for."""
    weights = [nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2)]
    optimizers = [torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1, fused=True) for weight in weights]
    for scale, weight, optimizer in zip((1.0, 8.0), weights, optimizers, strict=True):
        weight.grad = torch.tensor([0.5, -0.25]) * scale
        optimizer.grad_scale, optimizer.found_inf = torch.tensor(scale), torch.tensor(0.0)
        optimizer.step()
    assert torch.equal(*weights)
    before = [t.clone() for t in (weights[1], *optimizers[1].state[weights[1]].values())]
    weights[1].grad = torch.tensor([float("nan"), 1.0])
    optimizers[1].found_inf = torch.tensor(1.0)
    optimizers[1].step()
    assert all(map(torch.equal, before, (weights[1], *optimizers[1].state[weights[1]].values())))


def test_the_whole_state_is_there_before_the_first_step() -> None:
    model = network()
    optimizer = adamw(model, Optim(), average=0.9)
    before = {id(p): {name: t.shape for name, t in optimizer.state[p].items()} for p in model.parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    after = {id(p): {name: t.shape for name, t in optimizer.state[p].items()} for p in model.parameters()}
    assert before == after and {name for state in after.values() for name in state} == {
        "step",
        "exp_avg",
        "exp_avg_sq",
        "average",
    }
