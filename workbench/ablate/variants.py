"""A recipe's `ablate` section -> its variants, each a full recipe for every seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from workbench.artifacts.mirror import bring
from workbench.errors import RecipeError
from workbench.recipe.load import load_recipe
from workbench.recipe.schema import Ablate, Recipe

TASKS = ("match", "classify")
NO_BASELINES = tuple(f"finetune.baselines.{name}" for name in ("plain=false", "trees=false", "embeddings=[]"))


@dataclass(frozen=True)
class Variant:
    """What is changed, and what that gives: one recipe for each seed, in their order."""

    name: str
    sets: tuple[str, ...]
    recipes: tuple[Recipe, ...]

    @property
    def goals(self) -> tuple[str, ...]:
        """The stages whose artifacts the table is made of."""
        finetune = self.recipes[0].finetune
        return ("pretrain", *(task for task in TASKS if getattr(finetune, task)))


def read_variants(path: Path, sets: Sequence[str] = ()) -> tuple[Recipe, list[Variant]]:
    """The recipe itself and its variants; the first is what the others are compared with.

    Raises RecipeError for a recipe without variants, for two of one name, and for a key that no recipe has: it names
    the variant and the key.
    """
    base = load_recipe(path, sets, bring)
    named = list(_named(base.ablate))
    if not named:
        raise RecipeError(
            f"{path}: ablate names no variant; add some, for example\n"
            "  ablate:\n    variants:\n      as it is: []\n      no pre-training: [pretrain.epochs=0]"
        )
    for name, _ in named:
        if [other for other, _ in named].count(name) > 1:
            raise RecipeError(f"{path}: ablate: two variants are called {name!r}; rename one of them")
    return base, [Variant(name, own, _recipes(path, sets, base, name, own)) for name, own in named]


def _named(ablate: Ablate) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every combination of the axes' choices, then the variants that have a name."""
    for choices in product(*(axis.items() for axis in ablate.axes.values())) if ablate.axes else ():
        yield ", ".join(name for name, _ in choices), tuple(text for _, own in choices for text in own)
    yield from ablate.variants.items()


def _recipes(path: Path, sets: Sequence[str], base: Recipe, name: str, own: Sequence[str]) -> tuple[Recipe, ...]:
    tasks = [task for task in TASKS if getattr(base.finetune, task)]
    seeded = (
        [f"pretrain.seed={seed}", *(f"finetune.{task}.seeds=[{seed}]" for task in tasks)]
        for seed in dict.fromkeys(base.ablate.seeds)
    )
    try:
        # The table has no baselines: they would be the same in every variant.
        return tuple(load_recipe(path, [*sets, *NO_BASELINES, *own, *seed]) for seed in seeded)
    except RecipeError as error:
        raise RecipeError(f"{path}: ablate: variant {name!r}: {error}") from None
