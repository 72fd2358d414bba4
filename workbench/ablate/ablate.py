"""`mlim ablate`: plan, run, measure, show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.ablate.jobs import distinct, in_words, jobs_of
from workbench.ablate.variants import Variant, read_variants
from workbench.plan import plan_recipe
from workbench.recipe.schema import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.ablate.table import Trained
    from workbench.artifacts.store import Artifact


def ablate(path: Path, sets: Sequence[str], console: Console, resume: bool = True) -> tuple[dict[str, Any], Path]:
    """Make all variants of a recipe; the table's content, and the page beside which it was written.

    Raises RecipeError for variants that can't be, before anything runs.
    """
    base, variants = read_variants(path, sets)
    jobs = jobs_of(variants)
    console.print(*in_words(variants, jobs), sep="\n", soft_wrap=True, markup=False)
    from workbench.ablate.run import run_jobs  # torch, from here on
    from workbench.ablate.show import markdown
    from workbench.ablate.table import table
    from workbench.report.page import render_ablation

    run_jobs(distinct(jobs), base.runtime, console, resume)
    content = {"name": base.name} | table([_trained(variant) for variant in variants], base.ablate.seeds)
    folder = base.runtime.reports / base.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ablation.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    (folder / "ablation.md").write_text(markdown(content), "utf-8")
    page = folder / "ablation.html"
    page.write_text(render_ablation(content), "utf-8")
    return content, page


def _trained(variant: Variant) -> Trained:
    from workbench.ablate.measure import measures
    from workbench.ablate.table import Trained
    from workbench.report.times import cost, read_log

    made = [_made(variant, recipe) for recipe in variant.recipes]
    measured = [
        {m.name: m for m in measures(recipe, artifacts)}
        for recipe, artifacts in zip(variant.recipes, made, strict=True)
    ]
    losses = [_losses(artifacts["pretrain"]) for artifacts in made]
    logs = variant.recipes[0].runtime.cache / "logs"
    seconds = [{goal: cost(read_log(artifacts[goal], logs)) for goal in variant.goals} for artifacts in made]
    return Trained(variant.name, variant.sets, measured, losses, seconds)


def _made(variant: Variant, recipe: Recipe) -> dict[str, Artifact]:
    steps = plan_recipe(recipe, variant.goals)
    return {step.stage.name: step.artifact for step in steps if step.artifact}


def _losses(pretrained: Artifact) -> dict[str, float]:
    valid: Mapping[str, float] = pretrained.summary["valid"]
    return {name.removeprefix("valid_"): value for name, value in valid.items() if name.startswith("valid_")}
