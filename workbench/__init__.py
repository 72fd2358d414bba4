"""mlim: from a shop's own catalog to a vision-and-language model (MLIM, arXiv 2109.12178).

From Python (docs/api.md):

    from workbench import Recipe, load_model

    results = Recipe.load("shop.yaml").run()
    model = load_model("shop.yaml")
    model.predict("next_week.csv")
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Model", "Recipe", "Results", "__version__", "load_model"]

if TYPE_CHECKING:
    from workbench.notebook.model import Model, load_model
    from workbench.notebook.recipe import Recipe
    from workbench.notebook.results import Results

_HOMES = {"Model": "model", "load_model": "model", "Recipe": "recipe", "Results": "results"}


def __getattr__(name: str) -> Any:
    """Imported when it is first asked for: torch and polars take seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"workbench.notebook.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
