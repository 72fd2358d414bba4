"""What the order of training costs, and what length buckets save of padding.

python benchmarks/sampling.py [ROWS] [RECIPE]     default 10,000,000 and recipes/quickstart.yaml, for its texts
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from workbench.batches.masking import draw_masks
from workbench.batches.order import Order
from workbench.batches.weights import balanced
from workbench.draws import AUGMENT, stream, uniforms
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import load_recipe
from workbench.recipe.schema import Mam, Sampling
from workbench.text.tokens import TokenTable

POLICIES = {
    "global shuffle": {},
    "windows of 16 shards": {"window": 16},
    "32 batches cut by length": {"buckets": 32},
    "classes balanced": {},
    "all three": {"window": 16, "buckets": 32},
}


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """The best of `repeat`."""
    took = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def read(order: Order, steps: Sequence[int]) -> None:
    for step in steps:
        order.at(step), order.clock(step), order.soon(step)


def cost(rows: int) -> Iterator[str]:
    """The first step of an epoch and further ones, in random order and one after another."""
    draws = np.random.default_rng(0)
    lengths = draws.integers(1, 62, rows).astype(np.uint16)
    classes = np.minimum(draws.geometric(0.1, rows), 50)
    for name, sampling in POLICIES.items():
        often = balanced(classes, 1.0, 0) if name in ("classes balanced", "all three") else None
        order = Order(rows, 256, 2, 0, Sampling(**sampling), np.arange(rows) // 4096, lengths, often)
        first = seconds(partial(order.at, 0))
        ran = seconds(partial(read, order, range(1, 101)))
        jumped = seconds(partial(read, order, draws.integers(0, order.steps_per_epoch, 100).tolist()))
        yield f"{name:26} {first:5.2f} s an epoch   {10 * ran:6.2f} ms a step   {10 * jumped:6.2f} ms where it jumps"
    yield f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"


def padding(recipe: Path) -> Iterator[str]:
    """The share of text positions that are padding, in micro-batches of 32."""
    with tempfile.TemporaryDirectory() as cache:
        made = load_recipe(recipe, [f"runtime.cache={cache}"])
        tokens = run_plan(plan_recipe(made, ["tokens"]), made.runtime, Console(quiet=True))["tokens"].artifact
        lengths = TokenTable(tokens.folder).lengths.copy() + 2
    yield f"{len(lengths)} texts, {lengths.min()} to {lengths.max()} positions, {lengths.mean():.1f} on average"
    for batch_size, buckets in ((32, 0), (32, 8), (32, 32), (256, 0), (256, 1), (256, 8)):
        order = Order(len(lengths), batch_size, 1, 0, Sampling(buckets=buckets), lengths=lengths)
        batches = [lengths[order.at(step)[1]] for step in range(order.steps)]
        micro = [batch[start : start + 32] for batch in batches for start in range(0, batch_size, 32)]
        read = sum(len(part) * part.max() for part in micro if len(part))
        yield f"batch {batch_size:3}, buckets {buckets:2}: {1 - lengths.sum() / read:.1%} padding"


def draws() -> Iterator[str]:
    """Microseconds a listing of the numbers behind crops, by a generator for each and at once; and of masks."""
    for size in (64, 256):
        rows = np.random.default_rng(0).integers(0, 10**7, size)
        each = seconds(lambda: [stream(0, AUGMENT, 1, int(row)).random(8) for row in rows], 20)  # noqa: B023
        once = seconds(lambda: uniforms(0, AUGMENT, 1, rows, 8), 50)  # noqa: B023
        words = np.ones((size, 24), bool)
        masks = seconds(lambda: draw_masks(Mam(), 0, 1, rows, words, 144, words[:, 0]), 20)  # noqa: B023
        spent = [f"{1e6 * s / size:.1f}" for s in (each, once, masks)]
        yield f"{size:3} listings: a generator each {spent[0]} µs, at once {spent[1]} µs; masks {spent[2]} µs"


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
    for lines in (draws(), padding(path), cost(count)):
        for line in lines:
            print(line, flush=True)
        print()
