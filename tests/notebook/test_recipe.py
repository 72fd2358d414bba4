"""Recipes from Python: loaded with changes, planned, run; results as tables, and how they look."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.tasks import shop
from workbench import Recipe, load_model
from workbench.errors import DataError, RecipeError
from workbench.notebook import show
from workbench.recipe.load import to_yaml

HEAVY = {"torch", "polars", "pydantic", "numpy", "PIL", "yaml", "rich", "typer"}


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, workbench\nworkbench.__version__, dir(workbench)\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    ).stdout
    assert not HEAVY & set(out.split())
    import workbench

    assert {"Recipe", "Results", "Model", "load_model"} <= {*dir(workbench)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = workbench.nothing
    assert (Path(workbench.__file__).parent / "py.typed").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    (folder / "shop.yaml").write_text(to_yaml(shop.tree(folder / "cache", classify={"label": "kind"})))
    return folder


def test_keys_are_changed_in_either_way(folder: Path):
    recipe = Recipe.load(
        folder / "shop.yaml", pretrain={"epochs": 3, "optim": {"lr": 2e-3}}, model__size="small", name="a: b"
    )
    settings = recipe.settings
    assert (settings.pretrain.epochs, settings.pretrain.optim.lr, settings.pretrain.optim.batch_size) == (3, 2e-3, 16)
    assert (settings.model.size, recipe.name) == ("small", "a: b")
    assert (
        Recipe.load(folder / "shop.yaml", model__size=None, model__checkpoint=folder).settings.model.checkpoint
        == folder
    )
    with pytest.raises(RecipeError, match=r"unknown key pretrain\.epoch; did you mean `pretrain\.epochs`"):
        Recipe.load(folder / "shop.yaml", pretrain__epoch=3)
    with pytest.raises(DataError, match="no such file or folder"):
        Recipe.load(folder / "no.csv")


def test_a_bare_feed_is_a_recipe(folder: Path):
    recipe = Recipe.load(str(folder / "feed.csv"), runtime__cache=folder / "cache")
    assert recipe.name == "feed" and recipe.settings.catalog.feeds[0].columns.title == "title"
    assert recipe.run("ingest", quiet=True)["ingest"].figures["listings"] == 120


def test_plan_then_run_then_nothing_to_do(folder: Path, capsys: pytest.CaptureFixture[str]):
    recipe = Recipe.load(folder / "shop.yaml", runtime__reports=folder / "reports")
    before = recipe.plan("census")
    assert before.table["stage"].to_list() == ["ingest", "images", "duplicates", "split", "census"]
    assert set(before.table["state"]) <= {"to run", "cached"} and "forecast: " in before._repr_html_()
    results = recipe.run(["census", "tokens"])
    assert "images" in capsys.readouterr().out
    assert set(recipe.plan("census").table["state"]) == {"cached"}
    assert [*results] == ["ingest", "images", "duplicates", "split", "tokens", "census"]
    assert results.page("census") == folder / "reports/shop/catalog.html" and results.page("census").exists()
    assert results.report is None and results.figures == {} and results.scores.height == 0
    items = results["ingest"].tables["items"]
    assert isinstance(items, pl.DataFrame) and items.height == 120 and "title" in items.columns
    assert results["ingest"].read("drops.csv").height == 0
    assert results["census"].read("census.json")
    with pytest.raises(DataError, match=r"ingest has no file x; it has drops.csv, drops.parquet"):
        results["ingest"].read("x")
    recipe.run(["census"], quiet=True)
    assert capsys.readouterr().out == ""
    with pytest.raises(RecipeError, match="'nothing': no stage of this recipe; it has ingest, images"):
        recipe.run("nothing")
    for shown in (recipe, results, results["images"], results["split"]):
        page = shown._repr_html_()
        assert not re.search(r"(src|href)=\"(?!data:)|url\(|<script", page)
        assert page.count("<img") == (0 if shown is recipe else 12)


def test_a_model_of_a_recipe_without_a_task_embeds(folder: Path):
    recipe = Recipe.load(folder / "shop.yaml", finetune__classify=None, pretrain__epochs=0)
    model = load_model(recipe, threads=1, quiet=True)
    assert model.tasks == () and model.fields == ("title",) and "bare encoder" in model._repr_html_()
    points = model.embed(recipe)
    found = model.search(points, {"title": "red mug n0", "picture": folder / "pictures/L0.png"}, 3)
    assert points.points.shape == (120, 128) and found.table["id"][0] == "L0"
    with pytest.raises(DataError, match="it was trained for no task"):
        model.predict(recipe)


def test_scores_are_of_the_tasks(folder: Path, tmp_path: Path):
    from workbench.artifacts.store import Artifact
    from workbench.notebook.results import Results

    (tmp_path / "results.json").write_text(
        '{"measure": "macro_f1", "arms": [{"arm": "pretrained", "share": 1.0, "seeds": 1, "accuracy": null,'
        ' "macro_f1": {"mean": 0.5, "low": 0.4, "high": 0.6}, "brier": {"mean": 0.1, "low": 0, "high": 0.2}}]}'
    )
    size = (tmp_path / "results.json").stat().st_size
    artifact = Artifact(tmp_path, "classify", "k" * 64, {}, {}, {"results.json": {"bytes": size}})
    results = Results("shop", {"classify": artifact}, tmp_path)
    assert results.scores.rows()[0] == ("classify", "pretrained", 1.0, "macro_f1", 0.5, 0.4, 0.6)
    assert results.scores.height == 2
    page = results._repr_html_()
    assert "macro_f1" in page and "brier" not in page


def test_numbers_as_they_are_shown():
    assert [show._said(v) for v in (None, 1234567, 0.12345, 12345.6, True, ["a", "b"])] == [
        *("–", "1,234,567", "0.123", "12,346", "True", "a, b"),
    ]
