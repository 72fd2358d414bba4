"""Two sellers' feeds with all that makes preparation hard, from the feeds to the artifacts of a pre-training."""

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

TAIL = "Free shipping on all orders over fifty dollars."
THEIRS = "Returns are accepted within thirty days, no questions asked."
UNLIKE = [
    *("Oslo chair", "Brass tap", "Linen shirt", "Garden hose", "Paper fan"),
    *("Dog bowl", "Tin lamp", "Felt hat"),
]
UNLIKE += ["Oak door", "Silk tie"]
GREETING = "Welcome to the finest little shop of the whole wide web."


def pictures(folder: Path) -> None:
    """Of all kinds: small, wide, large JPEG, turned by EXIF, transparent, of one colour, damaged; a placeholder."""
    stream = np.random.default_rng(0)
    folder.mkdir()

    def noise(height: int, width: int, channels: int = 3) -> Image.Image:
        coarse = stream.integers(0, 256, (6, 6, channels)).astype(np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    for number in range(30):
        noise(20 + number, 40).save(folder / f"{number}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(90, 60).save(folder / "turned.jpg", exif=exif)
    noise(400, 300).save(folder / "large.jpg", quality=90)
    noise(33, 50, 4).save(folder / "clear.png")
    noise(31, 31).quantize(16).save(folder / "palette.gif")
    Image.new("RGB", (30, 30), "red").save(folder / "flat.png")
    (folder / "broken.jpg").write_bytes((folder / "large.jpg").read_bytes()[:900])
    noise(24, 24).save(folder / "soon.png")


def build(folder: Path) -> None:
    """feed.csv and other.csv with pictures/."""
    pictures(folder / "pictures")
    named = ["turned.jpg", "large.jpg", "clear.png", "palette.gif", "flat.png", "broken.jpg", "gone.png", "", "1.png"]
    words = [
        "Caf\u00c3\u00a9 mug",
        " <b>Red</b>&nbsp;lamp  ",
        "",
        "N/A",
        "sock\u200b 42\u00bd",
        "<p>",
        "blue cup",
        "\x07 hat",
    ]
    ours, theirs = [["sku", "name", "about", "colour", "pic", "kind"]], [["id", "title", "text", "image", "sort"]]
    for number in range(40):
        text = f"The product of number {number} is unlike all others that we have on sale here.\n{TAIL}"
        name = (
            words[number]
            if number < len(words)
            else f"thing number {number} of the {'red' if number % 2 else 'blue'} kind"
        )
        picture = named[number] if number < len(named) else f"{number % 30}.png"
        if number >= 30:  # of which nobody has a picture yet
            name, text, picture = UNLIKE[number - 30], "", "soon.png"
        colour = "red" if number % 3 == 0 else ""
        ours.append([f"a{number}", name, text if number % 5 else "", colour, picture, "ab"[number % 2]])
        told = f"{GREETING} Item {number} is described by these words alone. {THEIRS if number % 4 else TAIL}"
        picture = "0.png|soon.png" if number == 7 else "gone.png|3.png" if number == 8 else f"{number % 30}.png"
        theirs.append([f"b{number}", f"other {number} things & more", told, picture, "ab"[number % 2]])
    for name, rows in (("feed.csv", ours), ("other.csv", theirs)):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def tree(cache: Path, encoding: str = "auto", use: str = "main", **more: Any) -> dict[str, Any]:
    ours = {"id": "sku", "title": "name", "text": {"about": "about", "colour": "colour"}, "picture": "pic"}
    theirs = {"id": "id", "title": "title", "text": {"about": "text"}, "picture": "image"}
    return {
        "catalog": {
            "feeds": [
                {"path": "feed.csv", "pictures": "pictures", "columns": {**ours, "labels": {"kind": "kind"}}},
                {"path": "other.csv", "pictures": "pictures", "columns": {**theirs, "labels": {"kind": "sort"}}},
            ]
        },
        "images": {"side": 32, "encoding": encoding, "use": use},
        "tokens": {"vocabulary": 400, "max_length": 20},
        "model": {"size": "tiny", "image_side": 16, "patch": 8},
        "pretrain": {"epochs": 1, "optim": {"batch_size": 16}},
        "runtime": {"cache": str(cache), "device": "cpu", "threads": 1},
    } | more


def make(folder: Path, recipe_tree: dict[str, Any], *goals: str) -> Mapping[str, Artifact]:
    recipe = recipe_from_tree(recipe_tree, folder)
    made = run_plan(plan_recipe(recipe, goals or ("pretrain",)), recipe.runtime, Console(file=io.StringIO(), width=200))
    return {name: one.artifact for name, one in made.items()}
