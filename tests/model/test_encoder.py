"""Attention in three steps is PyTorch's; a step on a GPU waits for nothing."""

import pytest
import torch
import torch.nn.functional as F

from tests.tiny import batch, network
from workbench.model.encoder import attend
from workbench.recipe.schema import Objectives, Optim
from workbench.tasks.objective import Pretraining
from workbench.train.loop import Plan, updates_of


def test_attention_in_three_steps_is_pytorchs() -> None:
    torch.manual_seed(0)
    visible_BS = torch.rand(3, 7) < 0.6
    visible_BS[:, 0] = True
    bias_B11S = torch.zeros(3, 7).masked_fill(~visible_BS, -torch.inf)[:, None, None]
    qkv = [torch.randn(3, 2, 7, 8, requires_grad=True) for _ in range(3)]
    found = attend(*qkv, bias_B11S)
    expected = F.scaled_dot_product_attention(*qkv, attn_mask=visible_BS[:, None, None])
    weights = torch.randn_like(found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for a, b in zip(torch.autograd.grad(found, qkv, weights), torch.autograd.grad(expected, qkv, weights), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_step_on_a_gpu_waits_for_nothing() -> None:
    task, cuda = Pretraining(network(dropout=0.1), Objectives()), torch.device("cuda")
    updates = updates_of(task, Plan(1, Optim(), seed=0), cuda)
    made = batch([3, 6, 10], [1, 2, 3])
    moved = made.to(cuda)
    object.__setattr__(made, "to", lambda device: moved)  # pinned memory is the loader's
    updates.step([made])  # the first makes buffers
    torch.cuda.set_sync_debug_mode("error")
    try:
        values = updates.step([made])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert values is not None and values.isfinite().all()
