"""What each way of masking costs, in microseconds of one core a listing.

python benchmarks/masking.py [RECIPE]     default recipes/quickstart.yaml, for its texts; pictures have 12 x 12 patches
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console

from workbench.batches.loader import Listings
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import load_recipe
from workbench.recipe.schema import Mam, NoMasking
from workbench.text.tokens import TokenTable

POLICIES = {
    "none (texts put together)": NoMasking(policy="none"),
    "tokens and patches": Mam(),
    "words": Mam(text_units="word"),
    "spans": Mam(text_units="span"),
    "fields": Mam(text_units="field"),
    "one field's tokens": Mam(fields=("title",)),
    "80/10/10": Mam(shown="80/10/10"),
    "blocks": Mam(image_units="block"),
    "spans, blocks, 80/10/10": Mam(text_units="span", image_units="block", shown="80/10/10"),
}
BATCH, ROUNDS = 256, 100


def main(recipe: Path) -> None:
    with tempfile.TemporaryDirectory() as cache:
        made = load_recipe(recipe, [f"runtime.cache={cache}"])
        tokens = run_plan(plan_recipe(made, ["tokens"]), made.runtime, Console(quiet=True))["tokens"].artifact
        pictures: Any = SimpleNamespace(side=12 * 32)
        listings = Listings(TokenTable(tokens.folder), pictures, 32)
        rows = np.random.default_rng(0).choice(np.flatnonzero(listings.tokens.lengths), BATCH)
        there, best = np.ones(BATCH, bool), dict.fromkeys(POLICIES, np.inf)
        for epoch in range(ROUNDS):  # in turn, so that what else the machine does meets all of them
            for name, masking in POLICIES.items():
                began = time.perf_counter()
                listings.hide(rows, there, there, epoch=epoch, seed=0, masking=masking)
                best[name] = min(best[name], (time.perf_counter() - began) / BATCH)
        for name, spent in best.items():
            of_plain = spent / best["tokens and patches"]
            print(f"{name:26} {1e6 * spent:5.1f} µs a listing   {of_plain:4.2f} of tokens and patches")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "recipes" / "quickstart.yaml")
