"""What is masked is hidden wholly, what is absent changes nothing, and every weight learns."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.tiny import MASK, SHAPE, batch, network
from workbench.batch import Batch
from workbench.model.losses import recon_errors
from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.model.vision import EMBEDDERS, fit_positions


def other_pixels(made: Batch, where_BP: Tensor) -> Batch:
    """The same batch with new pixels in these patches."""
    grid, patch = SHAPE.grid, SHAPE.patch
    where_B1HW = where_BP.view(-1, 1, grid, grid).repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    return replace(made, pixels_BCHW=torch.where(where_B1HW, 255 - made.pixels_BCHW, made.pixels_BCHW))


@torch.no_grad()
@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_a_masked_image_token_hides_its_pixels_wholly(embedder: str) -> None:
    model, made = network(shape=replace(SHAPE, embedder=embedder)), batch([3, 6, 1], [1, 0, 0])
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
        recon_errors(model.redraw(x_BPD), x.pixels_BCHW / 255)[[0, 2]]
        for x_BPD, x in ((image_BPD, made), (image_other_BPD, other))
    ]
    assert torch.equal(*losses) and losses[0].all()


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


@torch.no_grad()
def test_read_apart_neither_modality_knows_the_other() -> None:
    model, made = network(), batch([3, 6, 1])
    text_BLD, image_BPD = model.encode_apart(made)
    other = other_pixels(made, torch.ones_like(made.image_masked_BP))
    assert torch.equal(model.encode_apart(other)[0], text_BLD)
    blind = replace(made, has_image_B=torch.zeros(3, dtype=torch.bool))
    torch.testing.assert_close(model.encode(blind)[0], text_BLD, rtol=0, atol=1e-5)
    silent = replace(made, text_real_BL=torch.zeros_like(made.text_real_BL))
    torch.testing.assert_close(model.encode(silent)[1], image_BPD, rtol=0, atol=1e-5)


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
