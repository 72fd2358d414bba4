"""Dropout zeroes its share of the elements, keeps the mean, and draws from the generator alone."""

import pytest
import torch

from workbench.model.dropout import Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_is_zeroed_and_the_rest_made_larger(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    made = Dropout(p)(torch.ones(1003, 1001, dtype=dtype))
    assert made.dtype == dtype
    zero = made == 0
    assert zero.float().mean().item() == pytest.approx(p, abs=0.002)
    torch.testing.assert_close(made[~zero].float().max().item(), 1 / (1 - p), rtol=4e-3, atol=0)
    # Four elements share one draw: neighbours must not be dropped together more often than by chance.
    for apart in (1, 2, 3, 1001):
        both = (zero.flatten()[apart:] & zero.flatten()[:-apart]).float().mean().item()
        assert both == pytest.approx(p * p, abs=0.002)


def test_the_seed_fixes_what_is_dropped_and_the_gradient_is_the_same_mask() -> None:
    x = torch.ones(50, 7, requires_grad=True)
    torch.manual_seed(3)
    first = Dropout(0.3)(x)
    torch.manual_seed(3)
    again = Dropout(0.3)(x)
    assert torch.equal(first, again) and not torch.equal(first, Dropout(0.3)(x))
    first.sum().backward()
    assert torch.equal(x.grad, first)


@pytest.mark.parametrize("dropout", [Dropout(0.0).train(), Dropout(0.5).eval()])
def test_without_a_rate_or_a_training_nothing_is_touched_or_drawn(dropout: Dropout) -> None:
    x, before = torch.randn(5), torch.random.get_rng_state()
    assert dropout(x) is x
    assert torch.equal(torch.random.get_rng_state(), before)


def test_all_is_dropped_at_a_rate_of_one() -> None:
    assert not Dropout(1.0)(torch.ones(1000)).any()
