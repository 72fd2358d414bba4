"""torch.compile changes no result and compiles once, whatever comes; what is computed again is the same to the bit."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from tests.tiny import SHAPE, batch, network
from workbench.batch import Batch
from workbench.model.mlim import Mlim
from workbench.recipe.schema import Objectives
from workbench.tasks.objective import Pretraining

PARTS = 3  # layer, embedder, language head


@pytest.fixture
def counter() -> Iterator[CompileCounterWithBackend]:
    torch._dynamo.reset()
    yield CompileCounterWithBackend("eager")
    torch._dynamo.reset()


def batches() -> list[Batch]:
    """Varied lengths, a smaller last batch, small pictures first, as a schedule has them."""
    small, draws = replace(SHAPE, image_side=8), torch.Generator().manual_seed(0)
    made = []
    for i, (size, shape) in enumerate([(5, small), (5, small), (5, SHAPE), (5, SHAPE), (3, SHAPE)]):
        lengths = torch.randint(1, 10, (size,), generator=draws).tolist()
        made.append(batch(lengths, [max(1, n // 2) for n in lengths], shape, seed=i))
    return made


def gradients(model: Mlim, made: Batch) -> list[torch.Tensor]:
    """The losses and all gradients of a step."""
    task = Pretraining(model.train(), Objectives())
    torch.manual_seed(1)
    losses = torch.stack(list(task.sums(made).values()))
    return [losses, *torch.autograd.grad(losses.sum(), list(model.parameters()))]


def test_a_training_of_varied_batches_compiles_each_part_once(counter: CompileCounterWithBackend) -> None:
    model, compiled = network(), network()
    compiled.compile(backend=counter)
    for made in batches():
        for found, expected in zip(gradients(compiled, made), gradients(model, made), strict=True):
            close = 1e-5 * expected.abs().max().item()
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=close)
    assert counter.frame_count == PARTS
    with torch.no_grad():  # and once more without gradients, for validation
        for made in batches():
            compiled.eval().redraw(compiled.encode(made)[1])
    assert counter.frame_count <= 2 * PARTS


@pytest.mark.parametrize("bf16", [False, True])
def test_recomputed_activations_change_no_bit(bf16: bool) -> None:
    usual, again = network(dropout=0.3), network(dropout=0.3)
    again.encoder.recompute = True
    made = batch([3, 6, 10], [1, 2, 3])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        pairs = list(zip(gradients(usual, made), gradients(again, made), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
