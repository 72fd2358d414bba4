"""A catalog prepared on a cluster that loses a machine midway: the same keys and bytes as in this process."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cluster import Machines
from tests.tasks import shop
from workbench.artifacts.store import Artifact
from workbench.images import store
from workbench.images.writer import ShardWriter
from workbench.plan import DATA_GOALS, plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree


def prepared(folder: Path, cache: str, **runtime: Any) -> dict[str, Artifact]:
    tree = shop.tree(folder / cache)
    tree["images"] |= {"shard_pictures": 50}
    tree["runtime"] |= runtime
    recipe = recipe_from_tree(tree, folder)
    made = run_plan(plan_recipe(recipe, DATA_GOALS), recipe.runtime, Console(file=io.StringIO()))
    return {name: one.artifact for name, one in made.items()}


def test_a_catalog_is_the_same_though_a_machine_is_lost(
    tmp_path: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(tmp_path)
    (tmp_path / "pictures" / "R7.png").write_bytes(b"no picture")
    (tmp_path / "pictures" / "L9.png").unlink()
    expected = prepared(tmp_path, "here")
    added, add = [], ShardWriter.add

    def killing(*args: Any) -> None:
        added.append(args)
        if len(added) == 40:
            machines.kill()
        add(*args)

    monkeypatch.setattr(store, "TOGETHER", 4)
    monkeypatch.setattr(ShardWriter, "add", killing)
    found = prepared(tmp_path, "there", executor="ray", cluster=machines.address)
    assert len(added) > 100
    assert {name: (a.key, a.files, a.summary) for name, a in found.items()} == {
        name: (a.key, a.files, a.summary) for name, a in expected.items()
    }
