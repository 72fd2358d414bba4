"""What the commands on a cache are given: a place, ages, sizes, and recipes whose things stay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from workbench.artifacts.mirror import bring
from workbench.artifacts.shared import store_of
from workbench.cache.place import Here, place_of
from workbench.errors import DataError, RecipeError
from workbench.recipe.places import WRITTEN, is_url, path_of, usual_scratch
from workbench.recipe.schema import Ablate, Recipe, Runtime

SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def cache_of(path: str) -> Here:
    """Of a recipe, or of the address of a cache: a folder, or s3://… Raises RecipeError or DataError."""
    if path.endswith((".yaml", ".yml")):
        from workbench.recipe.load import load_recipe

        return place_of(store_of(load_recipe(Path(path), (), bring).runtime))
    try:
        folder = path_of(path, usual_scratch(), WRITTEN) if is_url(path) else Path(path)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    if not is_url(path) and not folder.is_dir():
        raise DataError(
            f"{path}: no such folder; give a recipe (.yaml), or its cache: a folder such as .mlim, or s3://…"
        )
    return place_of(store_of(Runtime(cache=folder)))


def seconds(text: str) -> float:
    """Of an age: 30d, 12h."""
    found = re.fullmatch(r"([\d.]+)\s*([mhdw])", text.strip().lower())
    if not found:
        raise RecipeError(f"--older {text}: expected an age such as 30d, 12h or 2w")
    return float(found[1]) * SECONDS[found[2]]


def size(text: str) -> int:
    """Bytes: 20GB, 500MB."""
    found = re.fullmatch(r"([\d.]+)\s*([kmgt]?)i?b?", text.strip().lower())
    if not found:
        raise RecipeError(f"--most {text}: expected a size such as 20GB or 500MB")
    return int(float(found[1]) * BYTES[found[2]])


def needed(paths: Sequence[Path], place: Here) -> frozenset[str]:
    """Names of what these recipes use, with all their tasks, probes, audits and variants. Raises RecipeError for one
    of another cache, DataError where its files are missing."""
    from workbench.ablate.variants import read_variants
    from workbench.plan import names_of, plan_recipe
    from workbench.recipe.load import load_recipe

    found = set[str]()
    for path in paths:
        recipe = load_recipe(path, (), bring)
        if (its := place_of(store_of(recipe.runtime))).shown != place.shown:
            raise RecipeError(
                f"--keep {path}: its cache is {its.shown}, not {place.shown}; give a recipe of this cache"
            )
        found |= names_of(plan_recipe(recipe, _goals(recipe)))
        if recipe.ablate != Ablate():
            for variant in read_variants(path, ())[1]:
                for each in variant.recipes:
                    found |= names_of(plan_recipe(each, variant.goals))
    return frozenset(found)


def _goals(recipe: Recipe) -> list[str]:
    together = ["together"] if recipe.finetune.together else []
    return ["census", "probes", "audit", *recipe.finetune.tasks, *together, "report"]
