"""A recipe as Python has it: loaded, planned, run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console

from workbench.artifacts.mirror import bring
from workbench.artifacts.outbox import check, send_changed
from workbench.errors import DataError, RecipeError
from workbench.forecast.forecast import shown
from workbench.forecast.truth import keep
from workbench.notebook import show
from workbench.notebook.results import PAGES, Results
from workbench.plan import Step, foresee, plan_recipe, publish, run_plan
from workbench.recipe.load import load_recipe, recipe_from_tree, to_yaml
from workbench.recipe.places import is_url, path_of, usual_scratch
from workbench.recipe.schema import Recipe as Settings
from workbench.sources import guessed

if TYPE_CHECKING:
    from workbench.forecast.forecast import Forecast

DATA = ("ingest", "images", "duplicates", "split", "tokens", "pretrain")


class Recipe:
    """A recipe whose keys are all checked; `settings` has them, as `recipe.settings.model.size`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def load(cls, path: str | Path, **sets: Any) -> Recipe:
        """A recipe file (.yaml); or a bare feed, whose columns are guessed as `mlim ingest` does.

        `sets` change keys: `pretrain={"epochs": 3}`, or `pretrain__epochs=3`. Paths in them are relative to the working
        directory. Raises RecipeError naming file, line and key of everything wrong, DataError for the feed.
        """
        path = here(path)
        given = [f"{key.replace('__', '.')}={_as_yaml(value)}" for key, value in sets.items()]
        if path.suffix.lower() in (".yaml", ".yml"):
            return cls(load_recipe(path, given, bring))
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; give the path of a recipe (.yaml) or of a feed")
        tree, _, folder = guessed(path)
        return cls(recipe_from_tree({"name": path.stem, **tree}, folder, given))

    @property
    def name(self) -> str:
        return self.settings.name

    def plan(self, *goals: str) -> Plan:
        """What `run` would do. Goals are names of stages; by default all, through to the report."""
        steps = plan_recipe(self.settings, _known(self.settings, goals))
        return Plan(self.name, steps, foresee(self.settings, steps))

    def run(self, goals: str | Sequence[str] = PAGES[:2], resume: bool = True, quiet: bool = False) -> Results:
        """Make what the goals need and is not cached; by default all, through to the report. `resume=False` throws
        unfinished work away first.

        Raises what the stages raise; run again, it goes on where it was.
        """
        wanted = _known(self.settings, [goals] if isinstance(goals, str) else goals)
        folder = self.settings.runtime.reports / self.name
        check(folder)
        steps, console = plan_recipe(self.settings, wanted), console_for(quiet)
        foreseen = foresee(self.settings, steps)
        keep(foreseen, f"{steps[-1].stage.name}-{steps[-1].key[:16]}")
        made = run_plan(steps, self.settings.runtime, console, resume, foreseen)
        for name in (name for name in PAGES if name in wanted):
            publish(made[name].artifact, folder)
        send_changed(folder)
        return Results(self.name, {name: each.artifact for name, each in made.items()}, folder)

    def __repr__(self) -> str:
        feeds, tasks = len(self.settings.catalog.feeds), list(self.settings.finetune.tasks)
        return f"Recipe({self.name!r}, feeds={feeds}, tasks={tasks})"

    def _repr_html_(self) -> str:
        tree = self.settings.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
        return show.text(f"Recipe {self.name}: what differs from the defaults", to_yaml(tree))


class Plan:
    """What a run would do: `table` has a line for each stage; `lines` are the forecast of the whole, and warnings."""

    def __init__(self, name: str, steps: Sequence[Step], foreseen: Forecast) -> None:
        self.name = name
        takes: dict[str, tuple[str, ...]] = {}
        self.lines: list[str] = []
        if foreseen.estimates:
            (_, *rows), self.lines = shown(foreseen)
            takes = {stage: tuple(said) for stage, *said in rows}
        self.table = pl.DataFrame(
            [
                {
                    "stage": step.stage.name,
                    "key": step.key[:8],
                    "state": step.state,
                    "why": step.reason,
                    **dict(zip(("takes", "memory", "disk"), takes.get(step.stage.name, (None,) * 3), strict=False)),
                }
                for step in steps
            ]
        )

    def __repr__(self) -> str:
        return "\n".join([repr(self.table), *self.lines])

    def _repr_html_(self) -> str:
        return show.table(f"Plan of {self.name}", self.table.columns, self.table.rows(), self.lines)


def here(path: str | Path) -> Path:
    """A path; of an address in object storage that of a copy, which is made first."""
    if not is_url(str(path)):
        return Path(path).expanduser().absolute()
    try:
        copy = path_of(str(path), usual_scratch())
    except ValueError as error:
        raise DataError(str(error)) from None
    bring(copy)
    return copy


def console_for(quiet: bool) -> Console:
    """Lines in a notebook, whose widgets for bars not everyone has; bars on a terminal."""
    return Console(highlight=False, quiet=quiet, force_jupyter=False, markup=True)


def _known(settings: Settings, goals: Sequence[str]) -> list[str]:
    stages = [*DATA, *settings.finetune.tasks, *PAGES, "probes"]
    stages += ["fetch"] * bool(settings.fetch) + ["together"] * settings.finetune.together
    if unknown := [goal for goal in goals if goal not in stages]:
        raise RecipeError(f"{unknown[0]!r}: no stage of this recipe; it has {', '.join(stages)}")
    return [*goals] or [*PAGES[:2]]


def _as_yaml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
