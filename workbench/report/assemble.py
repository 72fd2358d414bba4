"""Artifacts -> the content of a report (docs/report.md) and its pictures."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.recipe.schema import Recipe, Report
from workbench.report.counts import count
from workbench.report.places import names
from workbench.report.shelf import Shelf
from workbench.report.times import read_log, stage_seconds, step_times
from workbench.report.verdict import TASKS

PACKAGES = ("torch", "polars", "pillow", "numpy", "tokenizers", "scikit-learn")

Json = dict[str, Any]


def assemble(work: Work, report: Report, recipe: Recipe) -> tuple[Json, dict[str, bytes]]:
    """The content, all but the recipe's text, and PNG bytes by the names that it uses."""
    artifacts = work.inputs
    census = count(artifacts, names(recipe.catalog.feeds), report.examples)
    shelf = census.shelf
    tokens = artifacts["tokens"].summary
    content: Json = {
        "about": _about(work, report, recipe),
        "data": census.content | {"text": {name: tokens[name] for name in ("vocabulary", "tokens", "longest", "cut")}},
        "pretrain": _pretrain(artifacts["pretrain"], work.log.parent),
    }
    probes = artifacts["probes"]
    if samples := _read(probes, "samples.json"):
        content["samples"] = samples
        for sample in samples:
            for name in (sample[role] for role in ("picture", "masked_picture", "redrawn") if role in sample):
                shelf.pictures[name] = probes.path(f"pictures/{name}.png").read_bytes()
    if "listings" in (found := _read(probes, "probes.json")):
        content["probes"] = found
    together = _read(artifacts["together"], "results.json") if "together" in artifacts else {}
    for task in (name for name in TASKS if name in artifacts):
        content[task] = results = _joined(_read(artifacts[task], "results.json"), together.get(task))
        for gallery in (name for name in ("best", "worst", "suspects") if name in results):
            results[gallery] = _filled(shelf, results[gallery][: report.examples])
    return content, shelf.pictures


def _joined(results: Json, together: Json | None) -> Json:
    """A task's results, and beside its own networks that which was trained for all tasks."""
    if together is None:
        return results
    lines = {name: [one for one in together[name] if one["arm"] == "together"] for name in ("arms", "readings")}
    lines["differences"] = [gain for gain in together["differences"] if gain["right"] == "together"]
    said = [line for line in together["verdict"] if "one network for all tasks" in line]
    return results | {name: [*results[name], *more] for name, more in {**lines, "verdict": said}.items()}


def _filled(shelf: Shelf, shown: Any) -> Any:
    """A task's examples with each {"row": …} in them made a listing."""
    if isinstance(shown, list):
        return [_filled(shelf, value) for value in shown]
    if not isinstance(shown, dict):
        return shown
    filled = {name: _filled(shelf, value) for name, value in shown.items() if name != "row"}
    return (shelf.show(shown["row"]) if "row" in shown else {}) | filled


def _about(work: Work, report: Report, recipe: Recipe) -> Json:
    return {
        "title": report.title,
        "recipe_name": recipe.name,
        "mlim_version": __version__,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "stages": [
            {"name": name, "key": artifact.key, "seconds": stage_seconds(read_log(artifact, work.log.parent))}
            for name, artifact in work.inputs.items()
        ],
    }


def _pretrain(artifact: Artifact, logs: Path) -> Json:
    summary = artifact.summary
    lines = [json.loads(line) for line in artifact.path("metrics.jsonl").read_text().splitlines()]

    section = artifact.ingredients["section"]["pretrain"]
    weights = {name: part["weight"] for name, part in section["objectives"].items() if part["weight"]}

    def point(line: Json, prefix: str = "") -> Json:
        losses = {name: line[prefix + name] or None for name in weights}  # 0: nothing was asked
        return {"step": line["step"], "epoch": line["step"] * summary["epochs"] / summary["steps"], **losses}

    return {
        "listings": summary["listings"],
        "pictures": summary["listings"],  # those without a usable one are left out
        "left_out": [{"reason": reason, "count": count} for reason, count in summary["left_out"].items()],
        **{name: summary[name] for name in ("parameters", "epochs", "steps")},
        **_speed(read_log(artifact, logs)),
        "curve": [point(line) | {name: line[name] for name in ("lr", "grad_norm")} for line in lines if "lr" in line],
        "valid": [point(line, "valid_") for line in lines if any(name.startswith("valid_") for name in line)],
        "skipped": sum("skipped" in line for line in lines),
        "objectives": weights,
        "masking": section["masking"],
    }


def _speed(log: list[Json]) -> Json:
    """Time and speed of a training; speeds are of its steps, without validations and checkpoints."""
    steps = step_times(log)
    samples, seconds, waited, validated, saved = (
        sum(line.get(name, 0.0) for line in steps) for name in ("samples", "seconds", "waited", "validated", "saved")
    )
    training = seconds - validated - saved
    return {
        "seconds": seconds or None,
        "samples_per_second": samples / training if training else None,
        "data_wait": waited / training if training else None,
    }


def _read(artifact: Artifact, name: str) -> Any:
    return json.loads(artifact.path(name).read_text("utf-8"))
