"""Recipe -> ordered stages with their keys; what is cached, what is not and why; and the run of what is not."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts.key import Digests, key_of
from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Artifact, Store
from workbench.catalog.feeds.layouts import source_files
from workbench.errors import DataError, RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.recipe.schema import Recipe, Runtime

Builder = Callable[[], Stage]


@dataclass(frozen=True)
class Step:
    """A stage of a plan: its key, the artifact if it is cached, else why it is not."""

    stage: Stage
    key: str
    ingredients: Mapping[str, Any]  # what the key is made of; kept in the manifest
    artifact: Artifact | None
    partial: Path | None  # what an unfinished run of this key left
    reason: str  # "" when cached


@dataclass(frozen=True)
class Made:
    """A stage after a run: its artifact, and the seconds it took (None: it was cached)."""

    artifact: Artifact
    seconds: float | None


class Sources:
    """The files a recipe names, by recipe key, and the digests of their content, made only when asked for."""

    def __init__(self, recipe: Recipe, digests: Digests) -> None:
        self.digests = digests
        self._paths = _source_paths(recipe)
        others = (path for key, path in self._paths.items() if not key.endswith(".pictures"))
        self._own = {str(path) for path in (recipe.runtime.cache, recipe.runtime.reports, *others)}

    def of(self, end: str) -> dict[str, str]:
        """Digest of each source whose recipe key ends so; DataError for one that can't be read."""
        return {key: self._digest(key, path) for key, path in self._paths.items() if key.endswith(end)}

    def _digest(self, key: str, path: Path) -> str:
        try:
            if path.is_dir() and key.endswith(".pairs"):
                raise DataError(f"{key}: {path} is a folder; expected a file")
            if key.endswith(".path"):
                files = {str(file) for file in source_files(path)}
                folder = path if path.is_dir() else path.parent
                whole = path if files == {str(path)} else folder
                return self.digests.of(whole, lambda name: name not in files and os.path.isfile(name))
            return self.digests.of(path, skip=self._no_picture if key.endswith(".pictures") else None)
        except OSError as error:
            raise DataError(f"{key}: {path}: {error.strerror}; correct the path in the recipe") from None

    def _no_picture(self, path: str) -> bool:
        """Pictures may lie beside the recipe, the feed, the cache and the reports, whose changes are not theirs."""
        return path in self._own or path.endswith((".yaml", ".yml"))


def _source_paths(recipe: Recipe) -> dict[str, Path]:
    from workbench.images.origin import place_of

    match = recipe.finetune.match
    paths: dict[str, Path | None] = {
        "tokens.tokenizer": recipe.tokens.tokenizer,
        "model.bert": recipe.model.bert,
        "finetune.match.pairs": match.pairs if match else None,
    }
    for i, feed in enumerate(recipe.catalog.feeds):
        paths[f"catalog.feeds.{i}.path"] = feed.path
        if feed.columns is None or feed.columns.picture:
            paths[f"catalog.feeds.{i}.pictures"] = feed.pictures or (feed.path and place_of(feed))
    return {key: path for key, path in paths.items() if path}


def builders(recipe: Recipe, sources: Sources) -> dict[str, Builder]:
    """Every stage of the recipe in order, not built yet: building one digests its source files."""
    from workbench.catalog import ingest, split
    from workbench.catalog.duplicates import stage as duplicates
    from workbench.catalog.fetch import fetch
    from workbench.images import build as images
    from workbench.report import build as report
    from workbench.report import census, probes
    from workbench.tasks import classify, match, pretrain
    from workbench.text import tokens

    tuned = recipe.finetune
    stages: dict[str, Builder] = {"ingest": lambda: ingest.stage(recipe.catalog, sources.of(".path"))}
    if recipe.fetch:
        web = recipe.fetch
        stages["fetch"] = lambda: fetch.stage(web, recipe.images)
    stages |= {
        "images": lambda: images.stage(
            recipe.images, recipe.catalog, sources.of(".pictures"), bool(recipe.fetch), sources.digests
        ),
        "duplicates": lambda: duplicates.stage(recipe.duplicates),
        "split": lambda: split.stage(recipe.catalog.split, recipe.duplicates),
        "tokens": lambda: tokens.stage(recipe.tokens, sources.of("tokens.tokenizer")),
        "pretrain": lambda: pretrain.stage(recipe.model, recipe.pretrain, sources.of("model.bert")),
    }
    if tuned.match:
        pairs = tuned.match
        stages["match"] = lambda: match.stage(pairs, sources.of("match.pairs"))
    if tuned.classify:
        labels = tuned.classify
        stages["classify"] = lambda: classify.stage(labels, {})
    stages["census"] = lambda: census.stage(recipe)
    stages["probes"] = lambda: probes.stage(recipe.report, {})
    stages["report"] = lambda: report.stage(recipe.report, recipe, {})
    return stages


def plan_recipe(recipe: Recipe, goals: Sequence[str] = ("report",)) -> list[Step]:
    """The steps that the goals need, in order.

    Raises DataError for a source that isn't there, RecipeError for a cache or reports folder that can't be written.
    """
    for key in ("cache", *(["reports"] if {"census", "report"} & set(goals) else [])):
        _check_writable(f"runtime.{key}", getattr(recipe.runtime, key))
    store, digests = Store(recipe.runtime.cache), Digests(recipe.runtime.cache / "digests.json")
    try:
        return plan_stages(wanted(builders(recipe, Sources(recipe, digests)), goals), store)
    finally:
        digests.save()


def _check_writable(key: str, folder: Path) -> None:
    """Told before anything runs, not after the hours that a report takes."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    found = "not a folder" if not there.is_dir() else "" if os.access(there, os.W_OK | os.X_OK) else "not writable"
    if found:
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
        artifact, partial = store.find(stage.name, key), store.partial(stage.name, key)
        reason = "" if artifact else _reason(stage.name, ingredients, partial, steps, store)
        steps[stage.name] = Step(stage, key, ingredients, artifact, partial, reason)
    return list(steps.values())


def disk_of(recipe: Recipe, steps: Sequence[Step]) -> str:
    """A line on the disk that the pictures will take; "" if they are stored already."""
    from workbench.images.disk import disk, pictures_named

    made = {step.stage.name: step.artifact for step in steps}
    if made["images"]:
        return ""
    return disk(recipe.images, pictures_named(made["ingest"], recipe.images) if made["ingest"] else 1000)


def run_plan(steps: Sequence[Step], runtime: Runtime, console: Console, resume: bool = True) -> dict[str, Made]:
    """Make what is not cached, in order, and tell of each; `resume=False` throws unfinished work away first.

    Raises ArtifactError when another process is making the same artifact, or when a cached input is damaged.
    """
    store = Store(runtime.cache)
    made: dict[str, Made] = {}
    unread: set[str] = set()
    for step in steps:
        if step.artifact:
            made[step.stage.name] = Made(step.artifact, None)
            unread.add(step.stage.name)
            continue
        for name in unread & set(step.stage.needs):
            made[name].artifact.verify()  # a result must never come from damaged inputs
            unread.remove(name)
        console.print(f"{step.stage.name} {step.key[:8]}  {step.reason}", style="bold", soft_wrap=True, markup=False)
        inputs = {name: made[name].artifact for name in step.stage.needs}
        made[step.stage.name] = _make(step, inputs, store, runtime, console, resume)
        tell(made[step.stage.name].artifact, console)
    return made


def _make(
    step: Step, inputs: Mapping[str, Artifact], store: Store, runtime: Runtime, console: Console, resume: bool
) -> Made:
    begun = time.monotonic()
    name, log = step.stage.name, store.log(step.stage.name, step.key)
    with store.making(name, step.key, resume=resume) as folder:
        artifact = store.find(name, step.key)  # another process may have made it since the plan
        if artifact is None:
            log.parent.mkdir(parents=True, exist_ok=True)
            summary = step.stage.run(Work(folder, inputs, runtime, console, log, _earlier(step, store)))
            artifact = store.commit(name, step.ingredients, summary)
            with log.open("a") as times:
                times.write(json.dumps({"stage_seconds": time.monotonic() - begun}) + "\n")
        else:
            folder.rmdir()
    return Made(artifact, time.monotonic() - begun)


def _earlier(step: Step, store: Store) -> Artifact | None:
    """The newest artifact that the same stage made by the same rules from other inputs."""
    alike = ("stage", "version", "section")
    found = (
        a
        for a in reversed(store.all_of(step.stage.name))
        if all(a.ingredients[k] == step.ingredients[k] for k in alike)
    )
    return next(found, None)


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
    earlier = [_changes(old.ingredients, ingredients, steps, store) for old in reversed(store.all_of(name))]
    if not earlier:
        return "never made"
    fields = min(earlier, key=len)
    more = f" and {len(fields) - 3} more" if len(fields) > 3 else ""
    return ", ".join(fields[:3]) + more


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], steps: Mapping[str, Step], store: Store) -> list[str]:
    """Each field that differs, as `images.side: 64 -> 48`; a changed input is traced to what changed in it."""
    changes = []
    if old["version"] != new["version"]:
        changes.append(f"stage {new['stage']}: version {old['version']} -> {new['version']}")
    before, after = dict(_leaves(old["section"])), dict(_leaves(new["section"]))
    for field in _differing(before, after):
        changes.append(f"{field}: {before.get(field, 'absent')} -> {after.get(field, 'absent')}")
    changes += [f"{source}: content changed" for source in _differing(old["sources"], new["sources"])]
    for name in _differing(old["inputs"], new["inputs"]):
        was = next((a for a in store.all_of(name) if a.key == old["inputs"].get(name)), None)
        if was and name in new["inputs"]:
            changes += _changes(was.ingredients, steps[name].ingredients, steps, store)
        else:
            changes.append(f"input {name} changed")
    return list(dict.fromkeys(changes))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and JSON of every leaf."""
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    if not pairs:
        yield path, json.dumps(tree, ensure_ascii=False)
    for name, value in pairs:
        yield from _leaves(value, f"{path}.{name}" if path else str(name))
