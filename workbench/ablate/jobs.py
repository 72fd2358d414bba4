"""Variants -> the trainings behind them, each once, though several variants may need the same; what is cached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.ablate.variants import Variant
from workbench.artifacts.pushed import DATA
from workbench.plan import plan_recipe
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


def jobs_of(variants: Sequence[Variant]) -> dict[str, list[Job]]:
    """The jobs of each variant, all seeds of a goal together; one that several need is the same in each."""
    jobs: dict[str, Job] = {}
    return {
        variant.name: [
            jobs.setdefault(job.key, job)
            for same_goal in zip(*(_jobs(variant, recipe) for recipe in variant.recipes), strict=True)
            for job in same_goal
        ]
        for variant in variants
    }


def distinct(jobs: Mapping[str, Sequence[Job]]) -> list[Job]:
    """Each job once, pre-trainings first: they are the longest."""
    once = {job.key: job for of_variant in jobs.values() for job in of_variant}
    return sorted(once.values(), key=lambda job: bool(job.needs))


def _jobs(variant: Variant, recipe: Recipe) -> list[Job]:
    steps = {step.stage.name: step for step in plan_recipe(recipe, variant.goals)}
    return [
        Job(
            goal=goal,
            key=steps[goal].key,
            variant=variant.name,
            seed=recipe.pretrain.seed,
            recipe=recipe,
            needs=frozenset(steps[other].key for other in steps[goal].stage.needs if other not in DATA),
            cached=steps[goal].artifact is not None,
        )
        for goal in variant.goals
    ]


def in_words(variants: Sequence[Variant], jobs: Mapping[str, Sequence[Job]]) -> Iterator[str]:
    """What will be made, two lines a variant; the last one sums up."""
    for variant in variants:
        yield f"{variant.name}: {' '.join(variant.sets) or 'the recipe as it is'}"
        of_goal = {goal: [job for job in jobs[variant.name] if job.goal == goal] for goal in variant.goals}
        yield "  " + "; ".join(_state(goal, own, variant.name) for goal, own in of_goal.items())
    every = distinct(jobs)
    waiting = Counter(job.goal for job in every if not job.cached)
    said = f"{len(variants)} variants x {len(variants[0].recipes)} seeds: {waiting.total()} of {len(every)} to make"
    yield said + (f" ({', '.join(f'{count} {goal}' for goal, count in waiting.items())})" if waiting else "")


def _state(goal: str, jobs: Sequence[Job], variant: str) -> str:
    """pretrain as reference / pretrain 1 cached, 2 to make."""
    if jobs[0].variant != variant:
        return f"{goal} as {jobs[0].variant}"
    counts = Counter("cached" if job.cached else "to make" for job in jobs)
    return f"{goal} {', '.join(f'{count} {state}' for state, count in counts.items())}"
