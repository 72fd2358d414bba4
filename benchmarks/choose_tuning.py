"""Choose how to tune each arm of the match task on the *valid* pairs: never on the test part.

usage: python benchmarks/choose_tuning.py RECIPE "a.b=c d.e=f" "…"      one variant of the recipe an argument

Prints the PR AUC on valid, mean over the seeds, of every arm of every variant. Everything is cached as in `mlim run`.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from workbench.evaluate.binary import average_precision
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import load_recipe


def main(recipe_path: str, *variants: str) -> None:
    for variant in variants:
        recipe = load_recipe(Path(recipe_path), variant.split())
        made = run_plan(plan_recipe(recipe, ["match"]), recipe.runtime, Console(quiet=True))
        pairs = pl.read_parquet(made["match"].artifact.path("scores.parquet")).filter(pl.col("part") == "valid")
        match, whole = (pairs["match"] == 1).to_numpy(), np.ones((1, pairs.height))
        arms = [c for c in pairs.columns if c.startswith(("pretrained", "scratch"))]
        folder = made["match"].artifact.folder
        by_seed = {arm: [_valid(run, match, whole) for run in _runs(folder, arm)] for arm in arms}
        found = ", ".join(f"{a} {np.mean(v):.4f} {np.round(v, 3).tolist()}" for a, v in by_seed.items())
        print(f"{variant}: {found}", flush=True)


def _runs(folder: Path, arm: str) -> list[Path]:
    return sorted(folder.glob(arm.replace(" ", "-") + "-*"))


def _valid(run: Path, match: np.ndarray, whole: np.ndarray) -> float:
    from safetensors.numpy import load_file

    scores = load_file(run / "scores.safetensors")["valid"].astype(np.float64)
    return float(average_precision(match, scores, whole)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
