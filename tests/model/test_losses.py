"""The two losses, by hand."""

import math

import pytest
import torch

from workbench.model.losses import mlm_sum, recon_sum


def test_mlm_by_hand() -> None:
    logits_MV = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])) + torch.tensor([[3.0], [-2.0]])
    assert float(mlm_sum(logits_MV, torch.tensor([1, 2]))) == pytest.approx(-math.log(0.25) - math.log(0.7))


def test_mlm_of_half_precision_logits_is_summed_in_full() -> None:
    torch.manual_seed(0)
    logits_MV, tokens_M = torch.randn(999, 50).bfloat16(), torch.randint(50, (999,))
    loss = mlm_sum(logits_MV, tokens_M)
    assert loss.dtype == torch.float32
    exact = -logits_MV.double().log_softmax(1)[torch.arange(999), tokens_M].sum()
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)


def test_no_masked_token_is_a_loss_of_zero_without_a_gradient() -> None:
    logits_MV = torch.zeros(0, 7, requires_grad=True)
    loss = mlm_sum(logits_MV, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and logits_MV.grad.shape == (0, 7)


def test_recon_by_hand() -> None:
    true_BCHW = torch.zeros(3, 3, 2, 2)
    redrawn_BCHW = torch.zeros(3, 3, 2, 2)
    redrawn_BCHW[0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.3])  # one pixel of four: 0.01 + 0.04 + 0.09 over 4
    redrawn_BCHW[1] = 0.5  # every pixel: 3 * 0.25
    redrawn_BCHW[2] = 1.0  # has no picture
    has_image_B = torch.tensor([True, True, False])
    assert float(recon_sum(redrawn_BCHW, true_BCHW, has_image_B)) == pytest.approx(0.14 / 4 + 0.75)


def test_a_picture_of_one_channel_is_refused_where_it_would_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) redrawn, \(2, 1, 4, 4\) true"):
        recon_sum(torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4), torch.ones(2, dtype=torch.bool))


def test_a_listing_without_a_picture_sends_no_gradient() -> None:
    redrawn_BCHW = torch.rand(2, 3, 4, 4, requires_grad=True)
    recon_sum(redrawn_BCHW, torch.zeros(2, 3, 4, 4), torch.tensor([False, True])).backward()
    assert not redrawn_BCHW.grad[0].any() and redrawn_BCHW.grad[1].all()
