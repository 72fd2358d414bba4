from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.tasks import shop
from workbench.artifacts.stage import Work
from workbench.errors import DataError, RecipeError
from workbench.recipe.schema import Runtime
from workbench.tasks.catalog import choose_device


def test_a_catalog_without_pictures_is_told_what_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache")
    del tree["catalog"]["feeds"][0]["columns"]["picture"]
    monkeypatch.setattr(shop, "tree", lambda *_, **__: tree)
    with pytest.raises(DataError, match=r"no picture is named \(120\); name their column .*columns\.picture"):
        shop.make(tmp_path, tmp_path / "cache", "pretrain")


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    work = Work(tmp_path, {}, Runtime(device="cuda"), Console(), tmp_path / "log")
    with pytest.raises(RecipeError, match=r"runtime\.device: found no GPU .* give auto or cpu"):
        choose_device(work)
