"""Parameters and operations by formula, held to those of the networks themselves."""

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from workbench.model.mlim import SIZES, Mlim, Shape
from workbench.model.shape import Network
from workbench.model.vision import EMBEDDERS, ImageDecoder

PATCHES = (2, 4, 8, 16, 32, 64)


def network(size: str, patch: int, embedder: str, side: int = 64, vocabulary: int = 1000) -> Network:
    width, layers = SIZES[size].width, SIZES[size].layers
    return Network(width, layers, vocabulary, 24, side, patch, embedder)


@pytest.mark.parametrize("embedder", EMBEDDERS)
@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_parameters_are_those_of_the_model(size, embedder):
    with torch.device("meta"):
        model = Mlim(Shape(SIZES[size], 1000, 4, 24, 64, 16, embedder))
    assert network(size, 16, embedder).parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("embedder", EMBEDDERS)
@pytest.mark.parametrize("patch", PATCHES)
def test_parameters_and_operations_of_what_reads_and_draws_pictures(patch, embedder):
    formula, pixels = network("tiny", patch, embedder), torch.zeros(2, 3, 64, 64)
    patches = formula.patches()
    read, drawn = EMBEDDERS[embedder](patch, 128), ImageDecoder(patch, 128)
    assert sum(m.parameters for m in formula.embedding()) == sum(p.numel() for p in read.parameters())
    assert sum(m.parameters for m in formula.decoding()) == sum(p.numel() for p in drawn.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        read(pixels, torch.zeros(2, patches, dtype=torch.bool))
    assert counter.get_total_flops() == formula.embedder_flops(2 * patches)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        drawn(torch.zeros(2, patches, 128))
    assert counter.get_total_flops() == formula.decoder_flops(2 * patches)


def test_operations_of_the_layers_and_of_the_head():
    formula = network("tiny", 16, "cnn")
    model = Mlim(Shape(SIZES["tiny"], 1000, 4, 24, 64, 16))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encoder(torch.zeros(3, 40, 128), torch.ones(3, 40, dtype=torch.bool))
    # attention's two products and the layer's four matrices
    assert counter.get_total_flops() == formula.layers_flops(3 * 40, 40)
    assert formula.layers_flops(1, 40) == 4 * (2 * 12 * 128**2 + 2 * 2 * 40 * 128)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.language_head(torch.zeros(7, 128), model.words.weight)
    assert counter.get_total_flops() == formula.head_flops(7) == 7 * 2 * (128 * 128 + 128 * 1000)


def test_no_torch():
    code = "import sys, workbench.model.shape; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
