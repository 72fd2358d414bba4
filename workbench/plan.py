"""Recipe -> ordered stages with their keys; what is cached, what is not and why; and the run of what is not."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts.changes import changes
from workbench.artifacts.executor import Executor, Threads
from workbench.artifacts.key import Digests, key_of
from workbench.artifacts.mirror import bring
from workbench.artifacts.pushed import DATA
from workbench.artifacts.shared import store_of
from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Artifact, Store
from workbench.artifacts.uses import using
from workbench.errors import DataError, RecipeError
from workbench.recipe.places import WRITTEN, url_of
from workbench.sources import Sources
from workbench.tasks.baselines.check import check
from workbench.tasks.line import checkpoints_folder
from workbench.train.trackers import check_installed

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.forecast.forecast import Forecast
    from workbench.forecast.truth import Watch
    from workbench.recipe.schema import Finetune, Recipe, Runtime
    from workbench.train.world import World

Builder = Callable[[], Stage]

DATA_GOALS = ("split", "tokens")  # which need all of DATA


@dataclass(frozen=True)
class Step:
    """A stage of a plan: its key, the artifact if it was found, else why it was not."""

    stage: Stage
    key: str
    ingredients: Mapping[str, Any]  # what the key is made of; kept in the manifest
    found: Artifact | None  # here, or in the object store
    partial: Path | None  # what an unfinished run of this key left
    reason: str  # "" when cached and all its sources are here

    @property
    def artifact(self) -> Artifact | None:
        """If it is cached."""
        return None if self.found and self.found.is_there else self.found

    @property
    def state(self) -> str:
        return "to run" if not self.found else "to fetch" if self.found.is_there else "cached"


@dataclass(frozen=True)
class Made:
    """A stage after a run: its artifact, and the seconds it took (None: it was cached)."""

    artifact: Artifact
    seconds: float | None


def builders(recipe: Recipe, sources: Sources) -> dict[str, Builder]:
    """Every stage of the recipe in order, not built yet: building one digests its source files."""
    from workbench.catalog import ingest, split
    from workbench.catalog.duplicates import stage as duplicates
    from workbench.catalog.fetch import fetch
    from workbench.images import build as images
    from workbench.report import audit, census, probes
    from workbench.report import build as report
    from workbench.tasks import pretrain
    from workbench.tasks.together import stage as together
    from workbench.text import tokens

    tuned = recipe.finetune
    stages: dict[str, Builder] = {
        "ingest": lambda: ingest.stage(recipe.catalog, sources.of(".path"), sources.read_elsewhere)
    }
    if recipe.fetch:
        web = recipe.fetch
        stages["fetch"] = lambda: fetch.stage(web, recipe.images)
    stages |= {
        "images": lambda: images.stage(
            recipe.images, recipe.catalog, sources.of(".pictures"), bool(recipe.fetch), sources.digests
        ),
        "duplicates": lambda: duplicates.stage(recipe.duplicates),
        "split": lambda: split.stage(recipe.catalog.split, recipe.duplicates),
        "tokens": lambda: tokens.stage(sources.tokens(), sources.of("tokens.tokenizer")),
        "pretrain": lambda: pretrain.stage(
            sources.model(), recipe.pretrain, sources.of("model.bert") | sources.of("model.checkpoint"), recipe.name
        ),
    }
    stages |= {task: partial(_task, task, tuned, sources) for task in tuned.tasks}
    if tuned.together:
        stages["together"] = lambda: together.stage(tuned, sources.of_tasks(*tuned.tasks))
    stages["census"] = lambda: census.stage(recipe)
    stages["probes"] = lambda: probes.stage(
        recipe.report, recipe.probes, recipe.pretrain, sources.of("probes.checkpoint")
    )
    stages["audit"] = lambda: audit.stage(recipe.name, recipe.audit, recipe.pretrain, sources.of("audit.checkpoint"))
    stages["report"] = lambda: report.stage(recipe.report, recipe, {})
    return stages


def _task(name: str, tuned: Finetune, sources: Sources) -> Stage:
    """The stage of a task, from its room."""
    for named in tuned.baselines.embeddings:
        bring(named)
    check(tuned.baselines)  # before the hours of pre-training
    room = import_module(f"workbench.tasks.{name}.stage")
    stage: Stage = room.stage(tuned.tasks[name], tuned.baselines, sources.of_tasks(name))
    return stage


def plan_recipe(recipe: Recipe, goals: Sequence[str] = ("report",)) -> list[Step]:
    """The steps that the goals need, in order.

    Raises DataError for a source that isn't there and is needed, RecipeError for a cache or reports folder that can't
    be written.
    """
    for key in ("cache", *(["reports"] if {"audit", "census", "report"} & set(goals) else [])):
        _check_writable(f"runtime.{key}", getattr(recipe.runtime, key))
    store, digests = store_of(recipe.runtime), Digests(recipe.runtime.cache / "digests.json")
    sources = Sources(recipe, digests, store.remote)
    try:
        steps = plan_stages(wanted(builders(recipe, sources), goals), store)
    finally:
        digests.save()
    return [_with_sources(step, sources, steps, store) for step in steps]


def _with_sources(step: Step, sources: Sources, steps: Sequence[Step], store: Store) -> Step:
    """The step with a word on its sources that are elsewhere. Raises DataError where it has to be made of them."""
    gone, remote = sources.gone(step.stage), sources.remote
    if not gone or not remote or not (pushed := sources.pushed):
        return step
    if step.found:
        said = f"{', '.join(gone)} not here: taken as pushed on {pushed.when}"
        return replace(step, reason=f"{step.reason}; {said}" if step.reason else said)
    name = step.stage.name
    old = remote.find(name, pushed.keys.get(name, ""))
    by_name = {other.stage.name: other.ingredients for other in steps}
    differ = changes(old.ingredients, step.ingredients, by_name, store) if old else ["never pushed"]
    raise DataError(
        f"{gone[0]}: {sources.elsewhere[gone[0]]} is not on this machine, and {remote.shown} has no such {name} of it "
        f"({', '.join(differ[:3])}); push this recipe from where the data is, or take back the change"
    )


def _check_writable(key: str, folder: Path) -> None:
    """Told before anything runs, not after the hours that a report takes."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    found = "not a folder" if not there.is_dir() else "" if os.access(there, os.W_OK | os.X_OK) else "not writable"
    if found:
        key = "runtime.scratch" if url_of(folder, WRITTEN) else key
        raise RecipeError(f"{key}: {folder}: {there} is {found}; give a folder that can be written")


def wanted(stages: Mapping[str, Builder], goals: Sequence[str]) -> list[Stage]:
    """The goals and everything they need, directly or not, in the order of `stages`; no other is built."""
    built: dict[str, Stage] = {}
    open_goals = list(goals)
    while open_goals:
        name = open_goals.pop()
        if name not in built:
            built[name] = stages[name]()
            open_goals += built[name].needs
    return [built[name] for name in stages if name in built]


def plan_stages(stages: Sequence[Stage], store: Store) -> list[Step]:
    """Keys, hits and misses of stages given in order; each stage's needs come before it."""
    steps: dict[str, Step] = {}
    for stage in stages:
        ingredients = {
            "stage": stage.name,
            "version": stage.version,
            "section": dict(stage.section),
            "inputs": {name: steps[name].key for name in stage.needs},
            "sources": dict(stage.sources),
        }
        key = key_of(ingredients)
        found, partial = store.seek(stage.name, key), store.partial(stage.name, key)
        reason = _where(found, stage, store) if found else _reason(stage.name, ingredients, partial, steps, store)
        steps[stage.name] = Step(stage, key, ingredients, found, partial, reason)
    return list(steps.values())


def _where(found: Artifact, stage: Stage, store: Store) -> str:
    if not (found.is_there and store.remote):
        return ""
    sizes = [file["bytes"] for name, file in found.files.items() if fnmatch(name, stage.streams)]
    stay = f"; {len(sizes)} files of it ({sum(sizes) / 1e9:.3g} GB) are taken when they are needed" if sizes else ""
    return f"at {store.remote.shown}{stay}"


def disk_of(recipe: Recipe, steps: Sequence[Step]) -> str:
    """A line on the disk that the pictures will take; "" if they are stored already."""
    from workbench.images.disk import disk, pictures_named

    made = {step.stage.name: step.found for step in steps}
    if made["images"]:
        return ""
    return disk(recipe.images, pictures_named(made["ingest"], recipe.images) if made["ingest"] else 1000)


def foresee(recipe: Recipe, steps: Sequence[Step]) -> Forecast:
    """What the steps that are to run will take."""
    from workbench.forecast.forecast import forecast
    from workbench.tasks.line import steps_done

    made = {step.stage.name: step.found for step in steps}
    pretrain = next((step for step in steps if step.stage.name == "pretrain"), None)
    done = steps_done(pretrain.ingredients, recipe.runtime.cache) if pretrain else {}
    return forecast(recipe, made, recipe.runtime.cache / "logs", done)


def names_of(steps: Sequence[Step]) -> set[str]:
    """What a run of these steps uses, by name below the cache."""
    names = {f"{step.stage.name}-{step.key[:16]}" for step in steps}
    names |= {f"models/{name}" for name in names}
    for pretrain in (step for step in steps if step.stage.name == "pretrain"):
        names |= {
            checkpoints_folder(pretrain.ingredients, Path()).as_posix(),
            f"bad-steps/pretrain-{pretrain.key[:16]}",
        }
    return names


def run_plan(
    steps: Sequence[Step],
    runtime: Runtime,
    console: Console,
    resume: bool = True,
    foreseen: Forecast | None = None,
    world: World | None = None,
) -> dict[str, Made]:
    """Make what is not cached, in order, and tell of each; `resume=False` throws unfinished work away first. What a
    stage took is put beside what was `foreseen`, for the next forecast. `world`: the processes that take part.

    Raises ArtifactError when another process is making the same artifact, or when a cached input is damaged.
    """
    store = store_of(runtime, lambda line: console.print(line, soft_wrap=True, markup=False))
    if any(step.stage.name == "pretrain" and not step.artifact for step in steps):
        check_installed(runtime.trackers)
    made: dict[str, Made] = {}
    unread: set[str] = set()
    makes = next((step.stage.name for step in steps if not step.found), "")
    with using(store, foreseen.recipe.name if foreseen else "", names_of(steps), makes):
        for step in steps:
            if step.artifact:
                store.share(step.artifact)  # unless it was
                made[step.stage.name] = Made(step.artifact, None)
                unread.add(step.stage.name)
                continue
            for name in unread & set(step.stage.needs):
                made[name].artifact.verify()  # a result must never come from damaged inputs
                unread.remove(name)
            console.print(
                f"{step.stage.name} {step.key[:8]}  {step.reason}", style="bold", soft_wrap=True, markup=False
            )
            so_far = {name: m.artifact for name, m in made.items()}
            made[step.stage.name] = _make(step, so_far, store, runtime, console, resume, foreseen, world)
            tell(made[step.stage.name].artifact, console)
    return made


def _make(
    step: Step,
    made: Mapping[str, Artifact],
    store: Store,
    runtime: Runtime,
    console: Console,
    resume: bool,
    foreseen: Forecast | None,
    world: World | None,
) -> Made:
    begun = time.monotonic()
    if step.found:
        return Made(store.here(step.found, step.stage.streams), time.monotonic() - begun)
    name, log = step.stage.name, store.log(step.stage.name, step.key)
    with store.making(name, step.key, resume=resume) as folder:
        artifact = store.seek(name, step.key)  # another process may have made it since the plan
        if artifact is None:
            log.parent.mkdir(parents=True, exist_ok=True)
            inputs = {need: made[need] for need in step.stage.needs}
            usual = not step.partial and not (runtime.executor == "ray" and name in DATA)  # that forecasts are made for
            watch = _watch(foreseen, name, log) if foreseen and usual else None
            earlier, executor = _earlier(step, store), executor_of(runtime)
            rows = foreseen.counts.rows if foreseen else None
            work = Work(folder, inputs, runtime, console, log, earlier, step.ingredients, resume, executor, world, rows)
            summary = step.stage.run(work)
            artifact = store.commit(name, step.ingredients, summary)
            with log.open("a") as times:
                times.write(json.dumps({"stage_seconds": time.monotonic() - begun}) + "\n")
            store.share(artifact)
            if watch:
                watch.learn({**made, name: artifact})
        elif not artifact.is_there:
            folder.rmdir()
    return Made(store.here(artifact, step.stage.streams), time.monotonic() - begun)


def executor_of(runtime: Runtime) -> Executor:
    """The one that the recipe asks for."""
    if runtime.executor == "ray":
        from workbench.artifacts.ray import Ray

        return Ray(runtime.cluster, runtime.threads)
    return Threads(runtime.threads)


def _watch(foreseen: Forecast, stage: str, log: Path) -> Watch:
    from workbench.forecast.truth import Watch

    return Watch(foreseen, stage, log)


def _earlier(step: Step, store: Store) -> Artifact | None:
    """The newest artifact that the same stage made by the same rules from other inputs."""
    alike = ("stage", "version", "section")
    found = (
        a
        for a in reversed(store.all_of(step.stage.name))
        if all(a.ingredients[k] == step.ingredients[k] for k in alike)
    )
    newest = next(found, None)
    return newest and store.here(newest)


def tell(artifact: Artifact, console: Console) -> None:
    """Print what the artifact's summary says."""
    for line in _lines(artifact.summary):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _lines(summary: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A line for the numbers of a summary, and one for each group of numbers in it."""
    own = {name: value for name, value in summary.items() if not isinstance(value, (Mapping, list))}
    if own:
        line = ", ".join(f"{name} {v:.4g}" if isinstance(v, float) else f"{name} {v}" for name, v in own.items())
        yield f"{path}: {line}" if path else line
    for name, value in summary.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{path}.{name}" if path else name)


def publish(report: Artifact, folder: Path) -> None:
    """Copy the report out of the cache to where the user looks for it, each file in one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in report.files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(target.name + ".tmp")
        shutil.copyfile(report.path(name), aside)
        aside.replace(target)


def _reason(
    name: str, ingredients: Mapping[str, Any], partial: Path | None, steps: Mapping[str, Step], store: Store
) -> str:
    """Why a stage is not cached: the fields by which the nearest earlier artifact differs."""
    if partial and any(partial.iterdir()):
        return "continues an unfinished run"
    known = {step.stage.name: step.ingredients for step in steps.values()}
    earlier = [changes(old.ingredients, ingredients, known, store) for old in reversed(store.all_of(name))]
    if not earlier:
        return "never made"
    fields = min(earlier, key=len)
    more = f" and {len(fields) - 3} more" if len(fields) > 3 else ""
    return ", ".join(fields[:3]) + more
