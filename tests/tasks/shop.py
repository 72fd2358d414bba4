"""A shop of sixty products, each listed twice, from its feed to a pre-trained network."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from workbench.artifacts.store import Artifact
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.tasks.catalog import Catalog, open_catalog
from workbench.tasks.network import model_section

COLOURS = ("red", "green", "blue", "black", "white")
THINGS = ("mug", "lamp", "sock")
PRODUCTS = 60
ARM = {"epochs": 2, "optim": {"lr": 1e-3, "batch_size": 16}}


def build(folder: Path) -> None:
    """feed.csv, pictures/ and pairs.csv: each product with its other listing, and with its neighbour's."""
    (folder / "pictures").mkdir()
    stream = np.random.default_rng(0)
    rows = []
    for product in range(PRODUCTS):
        colour, thing = COLOURS[product % 5], THINGS[product % 3]
        pixels = stream.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        for side in ("L", "R"):
            Image.fromarray(pixels).resize((16, 16)).save(folder / "pictures" / f"{side}{product}.png")
            rows.append(
                [f"{side}{product}", product, f"{colour} {thing} n{product}", thing, f"{side}{product}.png", side]
            )
    with (folder / "feed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "group", "title", "kind", "image", "seller"], *rows])
    pairs = [[f"L{p}", f"R{(p + step) % PRODUCTS}", int(step == 0)] for p in range(PRODUCTS) for step in (0, 1, 2, 3)]
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["left", "right", "match"], *pairs])


def tree(cache: Path, **finetune: Any) -> dict[str, Any]:
    labels = {"kind": "kind", "seller": "seller"}
    columns = {"id": "id", "title": "title", "group": "group", "picture": "image", "labels": labels}
    return {
        "catalog": {
            "feeds": [{"path": "feed.csv", "pictures": "pictures", "columns": columns}],
            "split": {"train": 0.5, "valid": 0.2, "test": 0.3},
        },
        "images": {"side": 16},
        "tokens": {"vocabulary": 300, "max_length": 12},
        "model": {"size": "tiny", "image_side": 16, "patch": 8},
        "pretrain": {"epochs": 1, "optim": {"batch_size": 16}},
        "finetune": finetune,
        "runtime": {"cache": str(cache), "device": "cpu", "threads": 1},
    }


def match(**more: Any) -> dict[str, Any]:
    return {"pairs": "pairs.csv", "pretrained": ARM, "scratch": ARM} | more


def make(folder: Path, cache: Path, goal: str, threads: int = 1, **finetune: Any) -> tuple[Artifact, str]:
    """The artifact of a goal, and what was printed on the way."""
    recipe = recipe_from_tree(tree(cache, **finetune), folder, [f"runtime.threads={threads}"])
    console = quiet()
    made = run_plan(plan_recipe(recipe, [goal]), recipe.runtime, console)
    return made[goal].artifact, console.file.getvalue()  # type: ignore[attr-defined]


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def opened(folder: Path) -> Catalog:
    """What a task reads, for which the shop is pre-trained."""
    recipe = recipe_from_tree(tree(folder / "cache"), folder)
    steps = run_plan(plan_recipe(recipe, ["pretrain"]), recipe.runtime, quiet())
    artifacts = {name: made.artifact for name, made in steps.items()}
    return open_catalog(artifacts, model_section(artifacts["pretrain"]), recipe.runtime)


def contents(artifact: Artifact) -> Mapping[str, str]:
    return {name: str(record["sha256"]) for name, record in artifact.files.items()}
