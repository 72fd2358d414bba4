"""The losses, by hand."""

import math

import pytest
import torch

from workbench.model.losses import contrast, mlm_nats, normalise, recon_errors, restore
from workbench.model.vision import pixels_of


def test_mlm_by_hand() -> None:
    logits_MV = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])) + torch.tensor([[3.0], [-2.0]])
    assert float(mlm_nats(logits_MV, torch.tensor([1, 2])).sum()) == pytest.approx(-math.log(0.25) - math.log(0.7))


def test_mlm_of_half_precision_logits_is_summed_in_full() -> None:
    torch.manual_seed(0)
    logits_MV, tokens_M = torch.randn(999, 50).bfloat16(), torch.randint(50, (999,))
    loss = mlm_nats(logits_MV, tokens_M).sum()
    assert loss.dtype == torch.float32
    exact = -logits_MV.double().log_softmax(1)[torch.arange(999), tokens_M].sum()
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)


def test_no_masked_token_is_a_loss_of_zero_without_a_gradient() -> None:
    logits_MV = torch.zeros(0, 7, requires_grad=True)
    loss = mlm_nats(logits_MV, torch.zeros(0, dtype=torch.int64)).sum()
    loss.backward()
    assert loss.item() == 0 and logits_MV.grad.shape == (0, 7)


def test_recon_by_hand() -> None:
    true_BCHW = torch.zeros(2, 3, 2, 2)
    redrawn_BCHW = torch.zeros(2, 3, 2, 2)
    redrawn_BCHW[0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.3])  # one pixel of four: 0.01 + 0.04 + 0.09 over 4
    redrawn_BCHW[1] = 0.5  # every pixel: 3 * 0.25
    assert recon_errors(redrawn_BCHW, true_BCHW).tolist() == pytest.approx([0.14 / 4, 0.75])


def test_recon_over_masked_patches_is_over_their_pixels_alone() -> None:
    drawn_BCHW = torch.zeros(3, 3, 4, 4)
    drawn_BCHW[:, 0, 1, 1] = 2.0  # patch 0 of four of 2 x 2
    drawn_BCHW[:, 0, 3, 0] = 1.0  # patch 2
    masked_BP = torch.tensor([[True, False, True, False], [False, True, True, True], [False] * 4])
    errors_B = recon_errors(drawn_BCHW, torch.zeros(3, 3, 4, 4), masked_BP)
    assert errors_B.tolist() == pytest.approx([(4 + 1) / 8, 1 / 12, 0])
    assert torch.equal(pixels_of(masked_BP, drawn_BCHW)[1, 0, ::2, 1::2], masked_BP[1].view(2, 2))


def test_normalised_patches_have_no_mean_and_unit_deviation_and_can_be_restored() -> None:
    pixels_BCHW = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels_BCHW[1, :, :4, :4] = 1.0  # a patch in one colour stays finite
    normal_BCHW, mean_B1GG, deviation_B1GG = normalise(pixels_BCHW, 4)
    patch_K = pixels_BCHW[0, :, 4:, :4]
    by_hand = (patch_K - patch_K.mean()) / (patch_K.var() + 1e-6).sqrt()
    torch.testing.assert_close(normal_BCHW[0, :, 4:, :4], by_hand, rtol=1e-4, atol=1e-5)
    assert normal_BCHW[1, :, :4, :4].abs().max() < 1e-3
    torch.testing.assert_close(restore(normal_BCHW, mean_B1GG, deviation_B1GG), pixels_BCHW, rtol=0, atol=1e-6)


def test_contrast_by_hand() -> None:
    scores_BB = torch.tensor([[2.0, 1.0, 9.0], [0.0, 3.0, 1.0], [5.0, 1.0, 4.0]])
    strangers_BB = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).bool()  # 0 and 2 are of one group
    own, both = scores_BB.exp().diagonal().tolist(), scores_BB.exp().tolist()
    first = -math.log(own[0] / (own[0] + both[0][1])) - math.log(own[0] / (own[0] + both[1][0]))
    second = -math.log(own[1] / sum(both[1])) - math.log(own[1] / (both[0][1] + own[1] + both[2][1]))
    assert contrast(scores_BB, strangers_BB)[:2].tolist() == pytest.approx([first / 2, second / 2])
    assert contrast(scores_BB, torch.zeros(3, 3).bool()).tolist() == [0, 0, 0]


def test_a_picture_of_one_channel_is_refused_where_it_would_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) redrawn, \(2, 1, 4, 4\) true"):
        recon_errors(torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4))
