"""Which of a recipe's networks answers, and its portable folder below the cache, put together once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.answers.compose import ABOUT, compose
from workbench.artifacts.store import Artifact, locked
from workbench.errors import ArtifactError, RecipeError
from workbench.recipe.schema import Recipe

NEEDED = ("ingest", "images", "duplicates", "tokens", "pretrain")  # stages that a model's folder is made of
PREDICTS = ("classify", "fill", "match", "retrieve")  # tasks of a recipe, in the order in which they are wanted


def goal_of(recipe: Recipe, task: str | None, wanted: Sequence[str] = PREDICTS) -> str:
    """The stage whose network answers: that of `task`, by default of the first that the recipe has of `wanted`.

    Raises RecipeError for a recipe without that task.
    """
    has = [name for name in wanted if getattr(recipe.finetune, name)]
    if task and task not in (*has, "pretrain"):
        raise RecipeError(f"the recipe has no task {task}; it has {', '.join(has) or 'none'}")
    goal = "pretrain" if task == "pretrain" or not has else task or has[0]
    return "together" if recipe.finetune.together and goal != "pretrain" else goal


def model_of(made: Mapping[str, Artifact], goal: str, cache: Path) -> Path:
    """The folder of a goal's model; `made` are the artifacts of NEEDED and of the goal."""
    folder = cache / "models" / f"{goal}-{made[goal].key[:16]}"
    folder.parent.mkdir(exist_ok=True)
    with locked(folder):
        if not folder.is_dir():
            compose(made, goal, folder)
    if not (folder / ABOUT).is_file():
        raise ArtifactError(f"{folder}: damaged; delete it and run again")
    return folder
