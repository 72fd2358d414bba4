"""Artifacts -> a portable folder: the model, and all that answering takes.

model.json, model.safetensors     the encoder
head.safetensors, answers.json    the tasks' heads, and what their numbers mean; absent for a bare pre-trained encoder
cross/                            the four of the network that reads pairs together, of a match task that trained one
tokenizer.json, vocabulary.json   how texts become token ids
preparation.json                  how listings are cleaned and pictures fitted, with what the training found
about.json                        recipe, keys of the artifacts, fingerprint of the catalog, figures, versions
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench import __version__
from workbench.answers.preparation import PREPARATION
from workbench.artifacts.format import NEWEST
from workbench.artifacts.store import Artifact, fsync
from workbench.errors import DataError
from workbench.recipe.load import to_yaml
from workbench.tasks.network import CONFIG, WEIGHTS
from workbench.tasks.tuned import ANSWERS, HEAD
from workbench.text.tokenizer import TOKENIZER, VOCABULARY

ABOUT = "about.json"
LOOKS = 64  # of placeholders, by which a copy saved anew is known
CROSS = tuple(f"cross/{name}" for name in (CONFIG, WEIGHTS, HEAD, ANSWERS))
SECTIONS = ("catalog", "images", "duplicates", "tokens", "model", "pretrain", "finetune")


def compose(artifacts: Mapping[str, Artifact], task: str, folder: Path) -> Path:
    """Write `folder`, which is not there yet, for a task's network, or for that of "pretrain".

    `artifacts` are those of ingest, images, duplicates, tokens, pretrain and the task. Weights are hard links where
    the file system has them, else copies. The folder is there wholly or not at all. Raises DataError where it exists.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already; give the name of a new folder")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model = artifacts[task]
    for name in (CONFIG, WEIGHTS, HEAD, ANSWERS) if task != "pretrain" else (CONFIG, WEIGHTS):
        _link(model.path(name), partial / name)
    for name in (name for name in CROSS if name in model.files):
        (partial / name).parent.mkdir(exist_ok=True)
        _link(model.path(name), partial / name)
    for name in (TOKENIZER, VOCABULARY):
        _link(artifacts["tokens"].path(name), partial / name)
    shape = json.loads(model.path(CONFIG).read_text("utf-8"))
    for name, content in ((PREPARATION, preparation_of(artifacts, shape)), (ABOUT, about(artifacts, task))):
        (partial / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
    for path in (*partial.rglob("*"), partial):
        fsync(path)
    partial.rename(folder)
    return folder


def _link(file: Path, to: Path) -> None:
    try:
        os.link(file, to)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, to)


def preparation_of(artifacts: Mapping[str, Artifact], shape: Mapping[str, Any]) -> dict[str, Any]:
    """What preparation.json holds; `shape` is what model.json does."""
    ingest, images = artifacts["ingest"], artifacts["images"]
    catalog = ingest.ingredients["section"]["catalog"]
    recurring = ingest.summary["boilerplate"]
    return {
        "format": NEWEST,
        "feeds": [
            {
                **{name: feed[name] for name in ("dialect", "language", "columns")},
                "boilerplate": _boilerplate(recurring, number),
            }
            for number, feed in enumerate(catalog["feeds"])
        ],
        "clean": catalog["clean"],
        "images": {**images.ingredients["section"]["images"], "encoding": images.summary["encoding"]},
        "image_side": shape["image_side"],
        "patch": shape["patch"],
        **_placeholders(images, artifacts["duplicates"]),
    }


def _boilerplate(recurring: list[dict[str, Any]], feed: int) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for line in recurring:
        if line["feed"] == feed:
            ends = found.setdefault(line["column"], {"heads": [], "tails": []})
            ends[f"{line['where']}s"].append(line["sentence"])
    return found


def _placeholders(images: Artifact, duplicates: Artifact) -> dict[str, Any]:
    """The pictures that counted as none: all by SHA-256, the most frequent ones by their looks."""
    states = pl.scan_parquet(duplicates.path("pictures.parquet")).filter(pl.col("state") == "placeholder")
    index = pl.scan_parquet(images.path("index.parquet")).select("row", "order", "sha256", "thumb", "colours")
    lines = index.join(states.select("row", "order"), on=["row", "order"], how="semi")
    every = lines.group_by("sha256").agg(pl.col("thumb", "colours").first(), pl.len()).sort("sha256").collect()
    often = every.sort("len", descending=True, maintain_order=True).unique("thumb", keep="first", maintain_order=True)
    looks = often.head(LOOKS).select("thumb", "colours").iter_rows()
    return {
        "placeholders": every["sha256"].to_list(),
        "looks": [[b64encode(part).decode() for part in look] for look in looks],
        "usual_picture": duplicates.summary["usual_picture"],
    }


def about(artifacts: Mapping[str, Artifact], task: str) -> dict[str, Any]:
    """Where the model comes from. The recipe is what the artifacts were made by: it holds no path and no secret."""
    import torch

    items = artifacts["ingest"].files["items.parquet"]["sha256"]
    return {
        "task": task,
        "recipe": to_yaml(_recipe(artifacts)),
        "artifacts": {name: artifact.key for name, artifact in artifacts.items()},
        "catalog": {"sha256": items, **_counts(artifacts["ingest"].summary)},
        "results": _results(artifacts[task]),
        "versions": {"mlim": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _recipe(artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """The sections that the artifacts were made by."""
    sections: dict[str, Any] = {}
    for artifact in artifacts.values():
        for name, section in artifact.ingredients["section"].items():
            sections[name] = {**sections.get(name, {}), **section} if isinstance(section, dict) else section
    feeds = [{"feed": feed["dialect"], "columns": feed["columns"]} for feed in sections["catalog"]["feeds"]]
    sections["catalog"] = {**sections["catalog"], "feeds": feeds}
    return {name: sections[name] for name in SECTIONS if name in sections}


def _counts(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: summary[name] for name in ("listings", "languages") if name in summary}


def _results(model: Artifact) -> dict[str, Any]:
    """The task's figures as its results.json has them, without curves and examples; of several tasks by task."""
    if "results.json" not in model.files:
        return {}
    found = json.loads(model.path("results.json").read_text("utf-8"))
    return _short(found) if "arms" in found else {task: _short(section) for task, section in found.items()}


def _short(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: section[name] for name in ("measure", "arms", "readings", "verdict", "undefined") if name in section}
