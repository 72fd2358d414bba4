"""What a command is given, a recipe or a bare feed, and the run of what it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from workbench.errors import DataError, RecipeError
from workbench.terminal import console, flags_given, held, is_quiet, note, table, tell, told

if TYPE_CHECKING:
    from workbench.plan import Made
    from workbench.recipe.schema import Recipe

STAGES = ("stage", "key", "state", "seconds")
NOTHING = "nothing to do: everything is cached"


def _is_feed(path: Path) -> bool:
    return path.suffix.lower() not in (".yaml", ".yml")


def recipe(path: Path, sets: Sequence[str] | None) -> Recipe:
    """The recipe of a file, or the one guessed for a bare feed."""
    return _guess(path, sets) if _is_feed(path) else load(path, sets)


def load(path: Path, sets: Sequence[str] | None) -> Recipe:
    from workbench.artifacts.mirror import bring
    from workbench.recipe.load import load_recipe

    if path.is_dir():
        raise RecipeError(f"{path}: is a folder; give the path of a recipe file (.yaml)")
    if path.exists() and _is_feed(path):
        raise RecipeError(f"{path}: expected a recipe (.yaml); `mlim ingest {path}` prints one for a bare feed")
    return load_recipe(path, sets or (), bring)


def _guess(feed: Path, sets: Sequence[str] | None) -> Recipe:
    """The recipe for a bare feed, guessed from its header and shown."""
    if not feed.exists():
        raise DataError(f"{feed}: no such file or folder; give the path of a feed or of a recipe (.yaml)")
    feed = feed if feed.name else feed.absolute()  # `.` has no name
    from workbench.recipe.load import recipe_from_tree, to_yaml
    from workbench.sources import guessed

    tree, said, folder = guessed(feed)
    beside = "beside the feed" if folder == feed.absolute().parent else "here"
    note(
        *said,
        f"\n# the recipe used: save it as {feed.with_suffix('.yaml').name} {beside}, and change it",
        to_yaml(tree),
    )
    told(recipe=tree)
    return recipe_from_tree({"name": feed.stem, **tree}, folder, sets or ())


def run(
    recipe: Recipe, goals: Sequence[str], resume: bool = True, before: Mapping[str, Made] | None = None
) -> dict[str, Made]:
    """Run what the goals need, tell each stage's outcome, of what was made `before` too, and publish the pages that are
    among them."""
    from workbench.artifacts.outbox import check, send_changed
    from workbench.artifacts.shared import store_of
    from workbench.artifacts.uses import using
    from workbench.forecast.truth import judge, keep
    from workbench.plan import foresee, names_of, plan_recipe, publish, run_plan

    folder = recipe.runtime.reports / recipe.name
    check(folder)
    steps = plan_recipe(recipe, goals)
    foreseen = foresee(recipe, steps)
    keep(foreseen, f"{steps[-1].stage.name}-{steps[-1].key[:16]}")
    held(using(store_of(recipe.runtime), recipe.name, names_of(steps)))
    made = run_plan(steps, recipe.runtime, console(), resume, foreseen) | {
        name: m for name, m in (before or {}).items() if m.seconds is not None
    }
    if all(m.seconds is None for m in made.values()):
        note(NOTHING)
    fetched = {step.stage.name for step in steps if step.state == "to fetch"}
    how = {n: "cached" if m.seconds is None else "fetched" if n in fetched else "made" for n, m in made.items()}
    rows = [(name, m.artifact.key[:8], how[name], m.seconds) for name, m in made.items()]
    told(stages=[dict(zip(STAGES, row, strict=True)) for row in rows])
    if not is_quiet():
        table(STAGES, [(*row, "" if seconds is None else f"{seconds:.1f}") for *row, seconds in rows])
    if line := judge(foreseen):
        note(line)
    for name, page in (("audit", "audit.html"), ("census", "catalog.html"), ("report", "report.html")):
        if name in goals:
            publish(made[name].artifact, folder)
            tell(**{name: folder / page})
    send_changed(folder)
    return made


def run_among(
    nproc: int,
    recipe: Recipe,
    goals: Sequence[str],
    path: Path,
    sets: Sequence[str] | None,
    resume: bool,
) -> None:
    """The same, where pre-training may be done by several processes; only the first goes on after that."""
    from workbench.train.launch import launched, of_a_world

    made: dict[str, Made] | None = {}
    if of_a_world():
        from workbench.together import pretrain_among

        if nproc > 1:
            raise RecipeError("--nproc starts processes of its own; leave it out where torchrun has started them")
        made = pretrain_among(recipe, goals, console(), resume)
        if made is None or launched():
            raise typer.Exit
    elif nproc > 1:
        from workbench.together import pretrain_by

        flags = [*([] if resume else ["--no-resume"]), *flags_given()]
        arguments = ["pretrain", str(path), *(word for each in sets or () for word in ("--set", each)), *flags]
        made = pretrain_by(nproc, arguments, recipe, console(), resume)
    run(recipe, goals, resume, made)
