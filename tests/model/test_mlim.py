"""What is masked is hidden wholly, what is absent changes nothing, and every weight learns."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.tiny import MASK, SHAPE, batch, network
from workbench.batch import Batch
from workbench.model.losses import mlm_sum, recon_sum
from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.model.vision import fit_positions


def other_pixels(made: Batch, where_BP: Tensor) -> Batch:
    """The same batch with new pixels in these patches."""
    grid, patch = SHAPE.grid, SHAPE.patch
    where_B1HW = where_BP.view(-1, 1, grid, grid).repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    return replace(made, pixels_BCHW=torch.where(where_B1HW, 255 - made.pixels_BCHW, made.pixels_BCHW))


@torch.no_grad()
def test_a_masked_image_token_hides_its_pixels_wholly() -> None:
    model, made = network(), batch([3, 6, 1], [1, 0, 0])
    assert made.image_masked_BP.any(1).all() and not made.image_masked_BP.all()
    before = torch.cat(model.encode(made), 1)
    hidden = torch.cat(model.encode(other_pixels(made, made.image_masked_BP)), 1)
    assert torch.equal(before, hidden)
    seen = torch.cat(model.encode(other_pixels(made, ~made.image_masked_BP)), 1)
    assert (before - seen).abs().amax((1, 2)).min() > 1e-2


@torch.no_grad()
def test_text_and_image_share_one_mask_vector_under_positions_of_their_own() -> None:
    model, made = network(), batch([3, 6], [2, 1])
    seen = {}
    model.embedding_norm.register_forward_pre_hook(lambda module, args: seen.update(sum_BSD=args[0]))
    model.encode(made)
    length = made.tokens_BL.shape[1]
    text_BLD = seen["sum_BSD"][:, :length] - model.text_positions.weight[:length]
    image_BPD = seen["sum_BSD"][:, length:] - model.image_positions.weight
    mask_D = model.words.weight[MASK]
    for x_BSD, masked_BS in ((text_BLD, made.text_masked_BL), (image_BPD, made.image_masked_BP)):
        is_mask_BS = torch.isclose(x_BSD, mask_D, rtol=0, atol=1e-5).all(2)
        assert torch.equal(is_mask_BS, masked_BS)


@torch.no_grad()
def test_the_pixels_of_a_listing_without_a_picture_change_no_text() -> None:
    model, made = network(), batch([3, 6, 1], [1, 2, 1])
    made = replace(made, has_image_B=torch.tensor([True, False, True]))
    other = replace(made, pixels_BCHW=made.pixels_BCHW.clone())
    other.pixels_BCHW[1] = 255 - other.pixels_BCHW[1]
    (text_BLD, image_BPD), (text_other_BLD, image_other_BPD) = model.encode(made), model.encode(other)
    assert torch.equal(text_BLD, text_other_BLD)
    assert torch.equal(image_BPD[[0, 2]], image_other_BPD[[0, 2]])
    losses = [
        recon_sum(model.redraw(x_BPD), x.pixels_BCHW / 255, x.has_image_B)
        for x_BPD, x in ((image_BPD, made), (image_other_BPD, other))
    ]
    assert losses[0] == losses[1] > 0


@torch.no_grad()
def test_a_listing_alone_equals_the_listing_in_a_batch() -> None:
    model, made = network(), batch([3, 6, 1], [1, 2, 0])
    text_BLD, image_BPD = model.encode(made)
    alone = Batch(*(getattr(made, f)[:1] for f in Batch.__dataclass_fields__))
    alone = replace(
        alone, **{f: getattr(alone, f)[:, :5] for f in ("tokens_BL", "shown_BL", "text_real_BL", "text_masked_BL")}
    )
    text_1LD, image_1PD = model.encode(alone)
    torch.testing.assert_close(text_1LD, text_BLD[:1, :5], rtol=0, atol=1e-5)
    torch.testing.assert_close(image_1PD, image_BPD[:1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_logits_are_given_at_the_masked_positions_only_and_in_their_order() -> None:
    model, made = network(), batch([3, 6, 1], [1, 2, 0])
    text_BLD, _ = model.encode(made)
    logits_MV = model.masked_token_logits(text_BLD, made)
    everywhere_BLV = model.language_head(text_BLD, model.words.weight)
    assert logits_MV.shape == (3, SHAPE.vocabulary)
    torch.testing.assert_close(logits_MV, everywhere_BLV[[0, 1, 1], [1, 1, 2]])


@torch.no_grad()
def test_pictures_of_another_side_are_read_and_redrawn_by_the_same_weights() -> None:
    model = network()
    small = batch([3, 6, 1], [1, 0, 0], replace(SHAPE, image_side=8))
    weights = model.state_dict() | {"image_positions.weight": fit_positions(model.image_positions.weight, 2)}
    own = network(shape=replace(SHAPE, image_side=8), seed=1)
    own.load_state_dict(weights)
    for here, there in zip(model.encode(small), own.encode(small), strict=True):
        torch.testing.assert_close(here, there, rtol=0, atol=1e-6)
    redrawn_BCHW = model.redraw(model.encode(small)[1])
    assert redrawn_BCHW.shape == small.pixels_BCHW.shape == (3, 3, 8, 8)
    assert recon_sum(redrawn_BCHW, small.pixels_BCHW / 255, small.has_image_B) > 0


@pytest.mark.parametrize("side", [16, 8, 24], ids=["its own side", "smaller", "larger"])
def test_every_parameter_gets_a_gradient(side: int) -> None:
    torch.manual_seed(0)
    model = Mlim(SHAPE, dropout=0.1).train()
    made = batch([3, 6, 10], [1, 2, 3], replace(SHAPE, image_side=side))
    text_BLD, image_BPD = model.encode(made)
    mlm = mlm_sum(model.masked_token_logits(text_BLD, made), made.tokens_BL[made.text_masked_BL])
    (mlm + recon_sum(model.redraw(image_BPD), made.pixels_BCHW / 255, made.has_image_B)).backward()
    still = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()
    ]
    assert still == []


def test_named_sizes_are_those_of_bert_where_bert_has_them() -> None:
    with torch.device("meta"):
        model = Mlim(Shape(SIZES["large"], 30522, 103, 512, 384, 32))
    count = Counter()
    for name, parameter in model.named_parameters():
        count[name.split(".")[0]] += parameter.numel()
    assert count["encoder"] == 24 * (12 * 1024**2 + 13 * 1024)  # BERT-large's layers
    assert count["image_positions"] == 144 * 1024
    assert model.shape.grid == 12
    assert (SIZES["base"].width, SIZES["base"].layers, SIZES["base"].heads) == (768, 12, 12)
