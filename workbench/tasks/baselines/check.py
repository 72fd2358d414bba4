"""What can be said of published models before anything is trained or loaded; no torch here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from workbench.errors import RecipeError
from workbench.recipe.schema import Baselines

KEY = "finetune.baselines.embeddings"
CONFIG, MODULES, OPEN_CLIP = "config.json", "modules.json", "open_clip_config.json"


def check(section: Baselines) -> None:
    """RecipeError for a folder without a model, or a library that is missing."""
    for named in section.embeddings:
        if named.is_absolute() and not any((named / name).exists() for name in (CONFIG, MODULES, OPEN_CLIP)):
            raise RecipeError(
                f"{KEY}: {named} holds no {CONFIG}, {MODULES} or {OPEN_CLIP}; give the folder of a model, or its name "
                "on the Hugging Face hub"
            )
        needed = "open_clip" if (named / OPEN_CLIP).exists() and not (named / MODULES).exists() else "transformers"
        if find_spec(needed) is None:
            raise RecipeError(f"{KEY}: {named} needs {needed}; pip install 'mlim[embeddings]', or leave it out")


def name_of(named: Path) -> str:
    """A published model in a table: the hub's name for it, or that of its folder."""
    if not named.is_absolute():
        return str(named)
    if named.parent.name == "snapshots":  # of the hub's cache
        return named.parents[1].name.removeprefix("models--").replace("--", "/")
    return f"{named.parent.name}/{named.name}" if named.name == "model" else named.name


def told(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
