"""A model of the shop: its data is prepared as for training, its weights are drawn."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.answers import shop
from tests.tiny import scatter
from workbench.answers.answers import Answers
from workbench.answers.compose import compose
from workbench.artifacts.store import Artifact
from workbench.recipe.schema import Model
from workbench.tasks.classify.net import ClassHead
from workbench.tasks.match.net import MatchHead
from workbench.tasks.network import build
from workbench.tasks.tuned import Tuned, save_tuned, width_of, write_answers
from workbench.text.tokenizer import TextTokenizer

CLASSES = {
    **{"levels": ["kind"], "several": None, "classes": ["hat", "lamp", "mug"], "paths": [["hat"], ["lamp"], ["mug"]]},
    **{"temperature": 2.0, "thresholds": None},
}
MATCH = {"calibration": {"scale": 1.5, "shift": -0.5}, "precision": 0.9, "threshold": 0.7, "clusters": 0.8}


def task_of(folder: Path, tokens: Artifact, tree: Mapping[str, Any], seed: int = 0) -> Artifact:
    """As a task's stage leaves it: answers classify and match."""
    torch.manual_seed(seed)
    network, _ = build(Model(**tree["model"]), TextTokenizer.load(tokens.folder))
    heads = {"classify": ClassHead(width_of(network), 3), "match": MatchHead(width_of(network))}
    tuned = Tuned(network, heads)
    scatter(tuned)
    folder.mkdir()
    save_tuned(folder, tuned)
    write_answers(folder, {"classify": CLASSES, "match": MATCH})
    files = {p.name: {"bytes": p.stat().st_size, "sha256": ""} for p in folder.iterdir()}
    return Artifact(folder, "classify", f"key {seed}", {"section": {"finetune": {"classify": {}}}}, {}, files)


@pytest.fixture(scope="session")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The shop: where it is, its data's artifacts, and the folder of a model of it."""
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    tree = shop.tree(folder / "cache")
    made = shop.make(folder, tree, "tokens", "duplicates")
    made = {**made, "classify": task_of(folder / "tuned", made["tokens"], tree)}
    return SimpleNamespace(folder=folder, tree=tree, made=made, model=compose(made, "classify", folder / "model"))


@pytest.fixture(scope="session")
def answers(sold: Any) -> Answers:
    return Answers.open(sold.model, "cpu", 1)
