"""The command on a small shop: every figure is there, and they agree with one another."""

import json
from functools import partial
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.tasks import shop
from workbench.bench import loader
from workbench.cli import app


def test_the_command_measures_the_recipe_s_own_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.build(tmp_path)
    monkeypatch.setattr(loader, "bench", partial(loader.bench, seconds=0.02))
    tree = shop.tree(tmp_path / "cache")
    tree["runtime"]["reports"] = "reports"
    tree["model"]["image_side"] = 8
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(tree))
    result = CliRunner().invoke(app, ["bench", "loader", str(tmp_path / "shop.yaml"), "--debug"])
    assert result.exit_code == 0, result.output
    file = tmp_path / "reports" / "shop" / "bench-loader.json"
    figures = json.loads(file.read_text())
    assert (figures["encoding"], figures["stored_side"], figures["model_side"]) == ("png", 16, 8)
    assert (figures["pictures"], figures["batch"], figures["threads"]) == (120, 16, 1)
    assert min(figures[name] for name in ("rate", "later", "bare", "step", "cold", "bytes", "memory")) > 0
    assert figures["rate"] == figures["rates"]["1"] and figures["parts"]["decoding"] > 0
    assert f"figures: {file}" in result.stdout and "bound by " in result.stdout
    assert "images.side is 16, 2.0x model.image_side" not in result.stdout or "store 16" not in result.stdout
