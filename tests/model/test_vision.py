"""Each pixel reaches exactly one image token and each token its own patch; sizes as in the paper."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tiny import SHAPE, network, scatter
from workbench.model.vision import EMBEDDERS, CnnEmbedder, ImageDecoder, ImageEmbedder, fit_positions


def tokens_of(embedder: ImageEmbedder, pixels_BCHW: Tensor) -> Tensor:
    patches = pixels_BCHW[0, 0].numel() // embedder.patch**2
    return embedder(pixels_BCHW, torch.zeros(len(pixels_BCHW), patches, dtype=torch.bool))


@pytest.mark.parametrize("name", ["cnn", "patches"])
@pytest.mark.parametrize("patch", [2, 4, 8])
def test_each_pixel_reaches_exactly_one_token(patch: int, name: str) -> None:
    torch.manual_seed(0)
    embedder = EMBEDDERS[name](patch, 24)
    pixels_1CHW = torch.rand(1, 3, 3 * patch, 2 * patch, requires_grad=True)
    tokens_1PD = tokens_of(embedder, pixels_1CHW)
    assert tokens_1PD.shape == (1, 6, 24)
    for p in range(6):
        (gradient,) = torch.autograd.grad(tokens_1PD[0, p].square().sum(), pixels_1CHW, retain_graph=True)
        down, right = divmod(p, 2)
        own = torch.zeros(3 * patch, 2 * patch, dtype=torch.bool)
        own[down * patch : (down + 1) * patch, right * patch : (right + 1) * patch] = True
        assert torch.equal((gradient[0] != 0).all(0), own)  # all three channels of its own pixels
        assert torch.equal((gradient[0] != 0).any(0), own)  # and nothing of others


def test_the_embedder_refuses_a_picture_of_one_channel() -> None:
    with pytest.raises(ValueError, match="expected 3 colour channels, found 1"):
        tokens_of(CnnEmbedder(4, 16), torch.rand(2, 1, 8, 8))


def test_patches_are_one_matrix_on_the_pixels_of_each() -> None:
    torch.manual_seed(0)
    embedder, pixels_1CHW = EMBEDDERS["patches"](4, 10), torch.rand(1, 3, 8, 8)
    last_K = pixels_1CHW[0, :, 4:, 4:].reshape(-1)
    expected_D = embedder.layers.weight.reshape(10, 48) @ last_K + embedder.layers.bias
    torch.testing.assert_close(tokens_of(embedder, pixels_1CHW)[0, 3], expected_D, rtol=0, atol=1e-6)


def test_a_listings_tokens_are_the_same_in_any_batch() -> None:
    torch.manual_seed(0)
    embedder, pixels_BCHW = EMBEDDERS["resnet"](8, 16).train(), torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(tokens_of(embedder, pixels_BCHW)[:1], tokens_of(embedder, pixels_BCHW[:1]))


def test_the_decoder_draws_each_token_at_its_place() -> None:
    torch.manual_seed(0)
    decoder = ImageDecoder(4, 16).double()
    scatter(decoder)
    image_1PD = torch.randn(1, 25, 16, dtype=torch.double, requires_grad=True)
    redrawn_1CHW = decoder(image_1PD)
    assert redrawn_1CHW.shape == (1, 3, 20, 20)
    gradient = torch.autograd.grad(redrawn_1CHW[0, :, 8:12, 12:16].sum(), image_1PD)[0].abs().sum(2).view(5, 5)
    near = torch.zeros(5, 5, dtype=torch.bool)
    near[1:4, 2:5] = True  # around row 2, column 3: the 3x3 convolutions see the neighbouring patches and no more
    assert torch.equal(gradient != 0, near)


def test_sizes_at_patch_32_and_width_1024_are_those_of_the_paper() -> None:
    embedder, decoder = CnnEmbedder(32, 1024), ImageDecoder(32, 1024)
    convolutions = [m for m in embedder.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.kernel_size, c.stride) for c in convolutions] == [((2, 2), (2, 2))] * 5 + [((1, 1), (1, 1))] * 2
    assert sum(p.numel() for p in embedder.parameters()) == pytest.approx(200e3, rel=0.05)
    layers = [m for m in decoder.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert [type(m) for m in layers] == [nn.ConvTranspose2d, nn.Conv2d] * 5
    assert [m.kernel_size for m in layers] == [(2, 2), (3, 3)] * 5
    assert sum(p.numel() for p in decoder.parameters()) == pytest.approx(2.8e6, rel=0.05)


@pytest.mark.parametrize("width", [128, 256, 768, 1024])
@pytest.mark.parametrize("patch", [2, 4, 8, 16, 32, 64])
def test_every_patch_fits_every_width(patch: int, width: int) -> None:
    for embedder in EMBEDDERS.values():
        tokens_1PD = tokens_of(embedder(patch, width), torch.rand(1, 3, 2 * patch, 2 * patch))
        assert tokens_1PD.shape == (1, 4, width)
    assert ImageDecoder(patch, width)(tokens_1PD).shape == (1, 3, 2 * patch, 2 * patch)


def test_positions_of_another_grid_are_interpolated_as_a_map() -> None:
    down, right = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    slope_PD = torch.stack([down.flatten(), right.flatten()], 1)
    fitted_GGD = fit_positions(slope_PD, 4).unflatten(0, (4, 4))
    inner = torch.tensor([2.5, 4.5])  # middles of pairs of cells; at the border the map is flat beyond it
    torch.testing.assert_close(fitted_GGD[1:3, 1:3, 0], inner[:, None].expand(2, 2))
    torch.testing.assert_close(fitted_GGD[1:3, 1:3, 1], inner[None].expand(2, 2))
    assert fit_positions(slope_PD, 8) is slope_PD


@pytest.mark.parametrize(("side", "grid"), [(6, 4), (6, 9), (12, 5), (3, 1)])
def test_interpolation_is_torchs_bicubic(side: int, grid: int) -> None:
    positions_PD = torch.randn(side**2, 5, generator=torch.Generator().manual_seed(side))
    map_1DGG = positions_PD.T.reshape(1, 5, side, side)
    expected_1DGG = F.interpolate(map_1DGG, size=(grid, grid), mode="bicubic", align_corners=False)
    torch.testing.assert_close(fit_positions(positions_PD, grid), expected_1DGG.flatten(2)[0].T, rtol=0, atol=1e-5)


def test_weights_of_a_small_grid_load_into_a_model_of_a_larger_one() -> None:
    small, large = network(), network(shape=replace(SHAPE, image_side=32), seed=1)
    weights = small.state_dict()
    large.load_state_dict(weights)
    expected = fit_positions(small.image_positions.weight, 8)
    assert torch.equal(large.image_positions.weight, expected) and expected.shape == (64, 32)
    assert torch.equal(large.encoder.layers[0].up.weight, small.encoder.layers[0].up.weight)
    assert len(weights["image_positions.weight"]) == 16  # what was given is not touched


def of(module: nn.Module, out: Tensor) -> dict[str, Tensor]:
    """The output, and the gradient of each parameter for fixed weights on the output's elements."""
    torch.manual_seed(1)
    gradients = torch.autograd.grad((out * torch.randn(out.shape)).sum(), list(module.parameters()))
    return {"out": out, **dict(zip(dict(module.named_parameters()), gradients, strict=True))}


@pytest.mark.parametrize("share", [0, 0.4, 1])
@pytest.mark.parametrize("name", ["cnn", "patches"])
def test_an_embedder_by_patches_is_its_convolutions_over_the_picture(name: str, share: float) -> None:
    torch.manual_seed(0)
    embedder, pixels_BCHW = EMBEDDERS[name](8, 24), torch.rand(3, 3, 32, 32)
    scatter(embedder)
    masked_BP = torch.rand(3, 16) < share
    slow_BPD = embedder.layers(pixels_BCHW).flatten(2).transpose(1, 2).masked_fill(masked_BP[:, :, None], 0)
    fast, slow = of(embedder, embedder(pixels_BCHW, masked_BP)), of(embedder, slow_BPD)
    for key in slow:
        close = 1e-5 * slow[key].abs().max().item()
        torch.testing.assert_close(fast[key], slow[key], rtol=0, atol=close, msg=key)


@pytest.mark.parametrize("patch", [2, 16])
def test_the_decoder_by_matrices_is_its_convolutions(patch: int) -> None:
    torch.manual_seed(0)
    decoder, image_BPD = ImageDecoder(patch, 32), torch.randn(2, 9, 32)
    slow_BCHW = decoder.layers(image_BPD.transpose(1, 2).reshape(2, 32, 3, 3))
    fast, slow = of(decoder, decoder(image_BPD)), of(decoder, slow_BCHW)
    for key in slow:
        close = 1e-5 * slow[key].abs().max().item()
        torch.testing.assert_close(fast[key], slow[key], rtol=0, atol=close, msg=key)
