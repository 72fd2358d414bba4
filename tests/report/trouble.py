"""A small shop with every kind of trouble, taken through the real stages; test_counts.py counts it by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from workbench.artifacts.store import Artifact
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import load_recipe
from workbench.recipe.schema import Recipe

HEADER = ("sku", "name", "about", "kind", "price", "ean", "photo", "lang")
GOOD = (  # no word twice, so that nothing is alike by chance
    ("Oak mug", "Turned by hand"),
    ("Tin beaker", "Light enough for any long journey"),
    ("Glass tumbler", "Hangs &amp; stacks"),
    ("Stone cup", "Heavy   grey granite"),
    ("Copper tankard", "Polished until bright"),
    ("Enamel bowl", "White with blue rim"),
    ("Desk lamp", "<p>Bends</p><p>anywhere</p>"),
    ("Torch", "Runs eight hours"),
    ("Lantern", "Keeps out rain"),
    ("Candlestick", "Brass from Sheffield"),
    ("Chandelier", "Forty crystal drops"),
    ("Garden gnome", "Fishing all day"),
)
BARE = ("Wool scarf", "Red kite", "Small anvil", "Door bell", "Straw hat")
RECIPE = """
catalog:
  feeds:
    - path: shop.csv
      columns: {id: sku, title: name, price: price, code: ean, picture: photo, language: lang,
                text: {about: about}, labels: {kind: kind}}
  split: {train: 1, valid: 0, test: 0}
images: {side: 32}
tokens: {vocabulary: 300, max_length: 16}
"""


def rows() -> list[Sequence[str]]:
    """The rows of shop.csv; the first is its line 2."""
    good = [
        (
            f"G{i}",
            name,
            about,
            "Mugs" if i < 6 else "Lamps" if i < 11 else "Odd",
            f"{i + 1}.50 EUR",
            "",
            f"{i}.png",
            "en",
        )
        for i, (name, about) in enumerate(GOOD)
    ]
    good[4] = (*good[4][:5], "4006381333931", *good[4][6:])
    good[5] = (*good[5][:5], "4006381333930", *good[5][6:])
    return [
        *good,
        *((f"N{i}", name, "", "Lamps", "3", "", "none.png", "en") for i, name in enumerate(BARE)),
        ("C0", *good[0][1:]),
        ("C1", *good[0][1:]),
        ("B0", "Nutcracker", "Zerbricht jede Schale", "Mugs", "4", "", "zero.png", "de"),
        ("B1", "WICKER BASKET CHAIR", "Geflochten aus Weide", "Mugs", "0", "", "lost.png", "de"),
        ("B2", "Wall clock", "Ticks", "Mugs", "5", "", "https://cdn.example.test/x.png", "en"),
        ("B3", "Umbrella stand", "n/a", "", "", "", "", "en"),
        ("", "Nameless", "", "Mugs", "1", "", "1.png", "en"),
        ("X", "", "", "Mugs", "1", "", "1.png", "en"),
        ("G1", "Again", "", "Mugs", "1", "", "1.png", "en"),
    ]


def write(folder: Path) -> Path:
    """The feed, its pictures and the recipe, whose path is given back."""
    noise = np.random.default_rng(0).integers(0, 256, (len(GOOD), 6, 6, 3), np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).resize((120, 120 if i else 80)).save(folder / f"{i}.png")
    Image.new("RGB", (200, 200), "silver").save(folder / "none.png")
    (folder / "zero.png").write_bytes(b"")
    with (folder / "shop.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows()])
    (folder / "shop.yaml").write_text(RECIPE)
    return folder / "shop.yaml"


def make(path: Path, goals: Sequence[str] = ("census", "tokens")) -> tuple[Recipe, dict[str, Artifact]]:
    """The recipe and the artifacts that the goals need."""
    recipe = load_recipe(path)
    made = run_plan(plan_recipe(recipe, goals), recipe.runtime, Console(file=io.StringIO()))
    return recipe, {name: one.artifact for name, one in made.items()}
