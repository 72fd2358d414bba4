"""The formula of a step's operations, against PyTorch's own count; padding and recomputation are no work."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.tiny import batch
from workbench.batch import Batch
from workbench.model.encoder import Size
from workbench.model.mlim import Mlim, Shape
from workbench.recipe.schema import Objectives
from workbench.tasks.objective import Pretraining
from workbench.train.flops import flops_of, positions
from workbench.train.peak import peak_of, published

PATCHES, HIDDEN = 16, 6


def shape(embedder: str = "cnn") -> Shape:
    return Shape(Size(64, 2, 4), 200, 4, 32, 64, 16, embedder)


def listings(lengths: list[int]) -> Batch:
    hidden_BP = torch.arange(PATCHES).expand(len(lengths), -1) < HIDDEN
    pixels = torch.zeros(len(lengths), 3, 64, 64, dtype=torch.uint8)
    made = batch(lengths, [5] * len(lengths))
    return dataclasses.replace(made, pixels_BCHW=pixels, image_masked_BP=hidden_BP)


def counted(names: tuple[str, ...], made: Batch, embedder: str = "cnn", recompute: bool = False) -> float:
    section = Objectives.model_validate({n: {"weight": float(n in names)} for n in ("mlm", "recon", "itm", "itc")})
    network = Mlim(shape(embedder))
    network.encoder.recompute = recompute
    with FlopCounterMode(display=False) as counter:
        sum(Pretraining(network, section).sums(made).values()).backward()  # type: ignore[union-attr]
    return float(counter.get_total_flops())


@pytest.mark.parametrize("embedder", ["cnn", "patches", "resnet"])
@pytest.mark.parametrize("names", [("mlm", "recon"), ("mlm",), ("recon",), ("itc",), ("mlm", "recon", "itm", "itc")])
def test_the_formula_is_pytorchs_count(names: tuple[str, ...], embedder: str) -> None:
    made = listings([20, 20, 20])
    # Ours are a little more: no gradient of pixels is computed.
    assert flops_of(shape(embedder), names)(made) / counted(names, made, embedder) == pytest.approx(1.02, abs=0.035)


def test_work_that_learns_nothing_does_not_count() -> None:
    needed, names = flops_of(shape(), ("mlm", "recon")), ("mlm", "recon")
    alone, longest = listings([4]), listings([4, 28])
    padding = counted(names, longest) / (needed(alone) + needed(listings([28]))) - 1
    assert needed(longest) == pytest.approx(needed(alone) + needed(listings([28])), rel=1e-9)
    assert padding > 0.05
    assert counted(names, longest, recompute=True) > counted(names, longest) * 1.1


def test_a_picture_that_is_not_there_costs_nothing() -> None:
    made = listings([20, 20])
    without = dataclasses.replace(made, has_image_B=torch.tensor([True, False]))
    needed = flops_of(shape(), ("recon",))
    assert needed(without) < 0.7 * needed(made)
    assert positions(without) == (2 * 22 + PATCHES, 2 * (22 + PATCHES))


def test_published_peaks_are_of_the_very_card_and_precision() -> None:
    assert published("NVIDIA A100-SXM4-80GB", "bf16") == 312e12
    assert published("NVIDIA H100 80GB HBM3", "fp16") == 989.4e12
    assert published("NVIDIA H100 PCIe", "fp32") == 51.2e12
    assert published("Tesla V100-SXM2-16GB", "fp16") == 125e12
    assert published("NVIDIA GeForce RTX 4090", "bf16") == 165.2e12
    for other in ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA A10G", "Rubin"):
        assert published(other, "bf16") is None
    assert published("Tesla T4", "bf16") is None
    assert published("Tesla T4", "fp16") == 65e12


def test_an_unknown_device_is_measured_and_no_number_is_drawn() -> None:
    before = torch.get_rng_state()
    peak = peak_of(torch.device("cpu"), "fp32")
    assert 1e8 < peak.flops < 1e15
    assert "TFLOP/s of 1 CPU thread, measured" in str(peak)
    assert torch.equal(before, torch.get_rng_state())
