"""What the documentation's commands run on: a folder like the repository's, with a catalog of forty products."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import ROOT

PRODUCTS = 40
# last on every command that takes --set, so that none trains for long
SMALL = ("model.size=tiny", "model.image_side=16", "model.patch=8", "images.side=16", "tokens.vocabulary=300")
SMALL += (
    "tokens.max_length=12",
    "pretrain.epochs=1",
    "pretrain.optim.batch_size=16",
    "runtime.device=cpu",
    "runtime.threads=1",
)
ARM = {"epochs": 1, "optim": {"lr": 1e-3, "batch_size": 16}}
ARMS = {"pretrained": ARM, "scratch": None, "label_shares": [1], "seeds": [0]}
PLAIN = {"plain": False, "trees": False}
SPLIT = {"train": 0.5, "valid": 0.2, "test": 0.3}
COLOURS, TAGS = ("red", "green", "blue"), ("new", "sale", "new|sale")


def build(folder: Path) -> None:
    """The sample catalog and a shop's own feed, both small, with the recipes beside them."""
    market = folder / "data/market"
    market.mkdir(parents=True)
    rows = list(csv.DictReader((ROOT / "data/market/google.csv").open(encoding="utf-8")))[:PRODUCTS]
    for name in ("google.csv", "twitter.tsv"):
        lines = (ROOT / "data/market" / name).read_text("utf-8").splitlines(keepends=True)
        (market / name).write_text("".join(lines[: PRODUCTS + 1]), "utf-8")
    for name in ("google.zip", "twitter.tar"):
        (market / name).symlink_to(ROOT / "data/market" / name)
    known = {prefix + row["item_group_id"] for row in rows for prefix in ("GO-", "TW-")}
    header, *pairs = (ROOT / "data/market/pairs.csv").read_text("utf-8").splitlines()
    kept = [pair for pair in pairs if set(pair.split(",")[:2]) <= known]
    (market / "pairs.csv").write_text("\n".join((header, *kept)) + "\n", "utf-8")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    train_less(folder / "recipes/quickstart.yaml")
    shutil.copytree(ROOT / "tests/catalog/feeds", folder, dirs_exist_ok=True)
    _shop(folder, rows)


def train_less(file: Path) -> None:
    """Change a recipe so that its tasks take one short run each."""
    tree = yaml.safe_load(file.read_text("utf-8"))
    tree["catalog"]["split"] = SPLIT
    tasks = {name: {**section, **ARMS} for name, section in tree.get("finetune", {}).items()}
    tree["finetune"] = {"baselines": PLAIN, **tasks}
    file.write_text(yaml.safe_dump(tree), "utf-8")


def _shop(folder: Path, rows: list[dict[str, str]]) -> None:
    """products.csv, pictures/ (and .zip), pairs.csv, shop.yaml: each product is sold twice."""
    pictures = folder / "pictures"
    pictures.mkdir()
    with (
        zipfile.ZipFile(ROOT / "data/market/google.zip") as archive,
        zipfile.ZipFile(folder / "pictures.zip", "w") as z,
    ):
        for row in rows:
            content = archive.read(row["image"])
            (pictures / row["image"]).write_bytes(content)
            z.writestr(row["image"], content)
    shutil.copy(pictures / rows[0]["image"], folder / "mug.jpg")
    listings = [
        {
            "sku": f"{row['item_group_id']}-{side}",
            "product name": f"{row['title']} {side}" if side == "b" else row["title"],
            "parent sku": row["item_group_id"],
            "vendor": ("Acme", "Bolt")[place % 2],
            "colour": COLOURS[place % 3],
            "tags": TAGS[place % 3],
            "department": ("Home", "Garden")[place % 2],
            "aisle": ("Lamps", "Mugs")[place // 2 % 2],
            "price": f"{place}.90",
            "image": row["image"],
        }
        for place, row in enumerate(rows)
        for side in "ab"
    ]
    _write(folder / "products.csv", listings)
    _write(folder / "last-week.csv", listings[2:])
    _write(folder / "this-week.csv", listings[:-2])
    names = [row["item_group_id"] for row in rows]
    pairs = [
        {"left": f"{one}-a", "right": f"{other}-b", "match": int(one == other)}
        for place, one in enumerate(names)
        for other in (one, names[place - 1])
    ]
    _write(folder / "pairs.csv", pairs)
    (folder / "shop.yaml").write_text(yaml.safe_dump(recipe(), sort_keys=False), "utf-8")


def recipe() -> dict[str, Any]:
    """A recipe of the shop with every task."""
    columns = {
        **{"id": "sku", "title": "product name", "group": "parent sku", "picture": "image", "price": "price"},
        "text": {"brand": "vendor", "colour": "colour"},
        "labels": {"department": "department", "aisle": "aisle", "tags": "tags"},
    }
    return {
        "catalog": {"feeds": [{"path": "products.csv", "pictures": "pictures", "columns": columns}], "split": SPLIT},
        "finetune": {
            "baselines": PLAIN,
            "together": True,
            "match": {"pairs": "pairs.csv", **ARMS},
            "classify": {"label": "department", **ARMS},
            "retrieve": {"by": "group", **ARMS},
            "fill": {"attributes": ["brand", "colour"], **ARMS},
        },
        "runtime": {"cache": ".mlim", "reports": "reports"},
    }


def _write(file: Path, lines: list[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    file.write_text(text.getvalue(), "utf-8")
