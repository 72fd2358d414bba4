"""MODEL of a command: a portable folder, or a recipe, whose tuned model is made and put together if need be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench import command
from workbench.answers.compose import ABOUT, compose
from workbench.artifacts.store import locked
from workbench.errors import ArtifactError, DataError, RecipeError
from workbench.recipe.schema import Recipe

NEEDED = ("ingest", "images", "duplicates", "tokens", "pretrain")
TASKS = ("classify", "fill", "retrieve", "match")


def model_folder(model: Path, task: str | None = None, sets: Sequence[str] = ()) -> Path:
    """The portable folder of a model. `task` says which of a recipe's; by default the first that it has.

    Raises RecipeError for a recipe without that task, DataError for a folder that holds no model.
    """
    if model.suffix.lower() in (".yaml", ".yml"):
        return _of_recipe(command.load(model, sets), task)
    if sets:
        raise RecipeError("--set changes a recipe, and this model is a folder")
    if not (model / ABOUT).is_file():
        found = "no model" if model.is_dir() else "no such folder"
        raise DataError(f"{model}: {found}; give a folder that mlim export wrote, or a recipe")
    return model


def _of_recipe(recipe: Recipe, task: str | None) -> Path:
    has = [name for name in TASKS if getattr(recipe.finetune, name)]
    if task and task not in (*has, "pretrain"):
        raise RecipeError(f"the recipe has no task {task}; it has {', '.join(has) or 'none'}")
    goal = "pretrain" if task == "pretrain" or not has else task or has[0]
    goal = "together" if recipe.finetune.together and goal != "pretrain" else goal
    made = {name: each.artifact for name, each in command.run(recipe, [*NEEDED, goal]).items()}
    folder = recipe.runtime.cache / "models" / f"{goal}-{made[goal].key[:16]}"
    folder.parent.mkdir(exist_ok=True)
    with locked(folder):
        if not folder.is_dir():
            compose(made, goal, folder)
    if not (folder / ABOUT).is_file():
        raise ArtifactError(f"{folder}: damaged; delete it and run again")
    return folder
