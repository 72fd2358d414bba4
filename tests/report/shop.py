"""A tiny shop taken through the real stages."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from workbench.artifacts.store import Artifact, Store
from workbench.plan import plan_stages, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Recipe

COLOURS = ("red", "green", "blue", "yellow", "purple")
KINDS = ("mug", "lamp", "chair")


def picture(number: int) -> bytes:
    """A noisy square of the listing's colour, as PNG; no two are alike."""
    noise = np.random.default_rng(number).integers(0, 80, (20, 20, 3), np.uint8)
    image = Image.blend(Image.new("RGB", (20, 20), COLOURS[number % 5]), Image.fromarray(noise), 0.4)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def write_shop(folder: Path, count: int, extra: Sequence[str] = ()) -> None:
    """shop.csv and its pictures; two listings a product, `extra` lines at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["sku,parent,name,kind,photo"]
    for i in range(count):
        lines.append(f"A{i:02d},G{i // 2},{COLOURS[i % 5]} {KINDS[i % 3]} number {i},{KINDS[i % 3]},{i}.png")
        (folder / f"{i}.png").write_bytes(picture(i))
    (folder / "shop.csv").write_text("\n".join([*lines, *extra]) + "\n")


def recipe_of(folder: Path, split: tuple[float, float, float] = (0.5, 0.1, 0.4), **changes: Any) -> Recipe:
    columns = {"id": "sku", "title": "name", "group": "parent", "picture": "photo", "labels": {"kind": "kind"}}
    tree: dict[str, Any] = {
        "name": "shop",
        "catalog": {
            "feeds": [{"path": "shop.csv", "columns": columns}],
            "split": dict(zip(("train", "valid", "test"), split, strict=True)),
        },
        "images": {"side": 16, "background": "#f0e0d0"},
        "tokens": {"vocabulary": 300, "max_length": 16},
        "model": {"size": "tiny", "image_side": 16, "patch": 8, "precision": "fp32"},
        "pretrain": {"epochs": 1, "optim": {"batch_size": 8}, "log_every": 1},
        "report": {"examples": 4},
        "probes": {"bootstrap": 100, "draws": 2},
        "runtime": {"device": "cpu", "threads": 1},
    }
    return recipe_from_tree(tree | changes, folder)


def make(recipe: Recipe) -> dict[str, Artifact]:
    """Every stage of the recipe up to its report."""
    from workbench.catalog import ingest, split
    from workbench.catalog.duplicates import stage as duplicates
    from workbench.images import build as images
    from workbench.report import build as report
    from workbench.report import probes
    from workbench.tasks import pretrain
    from workbench.text import tokens

    stages = [
        ingest.stage(recipe.catalog, {}),
        images.stage(recipe.images, recipe.catalog, {}),
        duplicates.stage(recipe.duplicates),
        split.stage(recipe.catalog.split, recipe.duplicates),
        tokens.stage(recipe.tokens, {}),
        pretrain.stage(recipe.model, recipe.pretrain, {}),
        probes.stage(recipe.report, recipe.probes, recipe.pretrain, {}),
        report.stage(recipe.report, recipe, {}),
    ]
    steps = plan_stages(stages, Store(recipe.runtime.cache))
    made = run_plan(steps, recipe.runtime, Console(file=io.StringIO()))
    return {name: one.artifact for name, one in made.items()}
