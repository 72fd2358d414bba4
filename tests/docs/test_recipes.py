"""Every piece of a recipe in the documentation is one that mlim reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.docs import sandbox
from tests.docs.pages import PAGES, ROOT, Block, blocks
from workbench.recipe.load import load_recipe

PIECES = [block for page in PAGES for block in blocks(page) if block.language == "yaml" and block.why is None]


@pytest.mark.parametrize("block", PIECES, ids=lambda block: block.place)
def test_pieces_of_recipes_are_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "PGPASSWORD", "MLIM_FEED"):
        monkeypatch.setenv(name, str(tmp_path))
    tree = sandbox.recipe()
    tree["catalog"]["feeds"][0]["columns"]["text"] |= {"material": "material"}
    tree["catalog"]["feeds"][0]["columns"]["labels"] |= {"category": "category"}
    tree["finetune"] = {task: tree["finetune"][task] for task in ("match", "classify")}
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    piece = re.sub("^extends: .*", "", block.text, flags=re.M)
    (tmp_path / "piece.yaml").write_text(f"extends: shop.yaml\n{piece}", "utf-8")
    load_recipe(tmp_path / "piece.yaml")


def test_the_recipes_of_the_repository_are_named_somewhere() -> None:
    said = "".join((ROOT / page).read_text("utf-8") for page in PAGES)
    assert not [file.name for file in ROOT.glob("recipes/*.yaml") if f"recipes/{file.name}" not in said]
