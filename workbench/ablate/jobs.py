"""Variants -> the trainings behind them, each once, though several variants may need the same; what is cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.ablate.variants import Variant
from workbench.plan import DATA, Step, plan_recipe
from workbench.recipe.schema import Recipe


@dataclass(frozen=True)
class Job:
    """A stage to make for one seed of a variant; others may share it."""

    goal: str
    key: str
    variant: str  # the first that needs it
    seed: int
    recipe: Recipe
    needs: frozenset[str]  # keys of jobs that come before
    cached: bool

    @property
    def name(self) -> str:
        return f"{self.goal}: {self.variant}, seed {self.seed}"


def jobs_of(variants: Sequence[Variant]) -> tuple[list[Job], dict[tuple[str, str], list[str]]]:
    """The trainings, pre-trainings first (the longest), and the key of each (variant, goal) by seed."""
    jobs: dict[str, Job] = {}
    keys: dict[tuple[str, str], list[str]] = {}
    for variant in variants:
        for recipe in variant.recipes:
            steps = {step.stage.name: step for step in plan_recipe(recipe, variant.goals)}
            for job in _jobs(variant, recipe, steps):
                jobs.setdefault(job.key, job)
                keys.setdefault((variant.name, job.goal), []).append(job.key)
    goals = ("pretrain", "match", "classify", "alone")
    return sorted(jobs.values(), key=lambda job: goals.index(job.goal)), keys


def _jobs(variant: Variant, recipe: Recipe, steps: dict[str, Step]) -> Iterator[Job]:
    for name in variant.goals:
        step = steps[name]
        needs = frozenset(steps[other].key for other in step.stage.needs if other not in DATA)
        yield Job(name, step.key, variant.name, recipe.pretrain.seed, recipe, needs, step.artifact is not None)


def plan_in_words(variants: Sequence[Variant]) -> Iterator[str]:
    """What will be made, a line a variant; the last one sums up."""
    jobs, keys = jobs_of(variants)
    by_key = {job.key: job for job in jobs}
    for variant in variants:
        yield f"{variant.name}: {' '.join(variant.sets) or 'the recipe as it is'}"
        yield "  " + "; ".join(
            _state(goal, [by_key[k] for k in keys[variant.name, goal]], variant.name) for goal in variant.goals
        )
    waiting = [job for job in jobs if not job.cached]
    seeds = len(variants[0].recipes)
    yield f"{len(variants)} variants x {seeds} seeds: {len(waiting)} of {len(jobs)} stages to make" + (
        f" ({', '.join(f'{[j.goal for j in waiting].count(g)} {g}' for g in dict.fromkeys(j.goal for j in waiting))})"
        if waiting
        else ""
    )


def _state(goal: str, jobs: Sequence[Job], variant: str) -> str:
    """pretrain: as reference / 1 cached, 2 to make."""
    if jobs[0].variant != variant:
        return f"{goal} as {jobs[0].variant}"
    cached = sum(job.cached for job in jobs)
    counts = [f"{n} {word}" for n, word in ((cached, "cached"), (len(jobs) - cached, "to make")) if n]
    return f"{goal} {', '.join(counts)}"
