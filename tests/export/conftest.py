"""Portable folders of made-up networks: every embedder, every task."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import scatter
from workbench.answers.answers import Answers
from workbench.answers.listing import Listing
from workbench.export.check import code_of
from workbench.export.export import export
from workbench.model.encoder import Size
from workbench.model.mlim import Mlim, Shape
from workbench.recipe.schema import Clean, Images, Tokens
from workbench.tasks.classify.fitting import spelling
from workbench.tasks.classify.plain import Plain
from workbench.tasks.heads import head_of
from workbench.tasks.tuned import Tuned, save_tuned, width_of, write_answers
from workbench.text.tokenizer import TextTokenizer, train

FIELDS = ("title", "colour")
WORDS = [
    f"{size} {colour} {thing}" for size in ("big", "small") for colour in ("red", "blue") for thing in ("mug", "hat")
]
ANSWERS: dict[str, Any] = {
    "classify": {
        **{"levels": ["kind"], "several": None, "classes": ["hat", "lamp", "mug"]},
        **{"paths": [["hat"], ["lamp"], ["mug"]], "temperature": 2.0, "thresholds": None, "pieces": 283},
    },
    "match": {"calibration": {"scale": 1.5, "shift": -0.5}, "precision": 0.9, "threshold": 0.7, "clusters": 0.8},
    "retrieve": {},
    "fill": {
        **{"answer": "classes", "text": {"special": [], "pad": 0, "sep": 3, "markers": []}},
        "attributes": {
            name: {"values": values, "marker": None, "pieces": [], "temperature": 1.0, "threshold": None}
            for name, values in {"brand": ["A", "B"], "material": ["tin", "wool", "oak"]}.items()
        },
    },
}
FIGURE = {"mean": 0.9544, "low": 0.9, "high": 0.97}
ABOUT = {
    **{"task": "match", "recipe": "tokens:\n  max_length: 12", "artifacts": {"ingest": "f" * 64, "match": "e" * 64}},
    **{"catalog": {"sha256": "c" * 64, "listings": 160, "languages": {"en": 160}}, "versions": {"mlim": "0.1.0"}},
    "results": {
        "measure": "pr_auc",
        "arms": [{"arm": "pretrained", "share": 1.0, "seeds": 1, "pr_auc": FIGURE}],
        "readings": [{"arm": "pretrained", "share": 1.0, "reading": "text", "items": 40, "pr_auc": FIGURE}],
        "verdict": ["Pre-training pays."],
    },
}


def portable(
    folder: Path, embedder: str = "cnn", tasks: tuple[str, ...] = tuple(ANSWERS), stored: str = "jpeg", side: int = 40
) -> Path:
    """A folder as `compose` leaves it. Pictures are stored as JPEG of 40 px, the model reads 32 px."""
    folder.mkdir()
    tokenizer = train([WORDS], FIELDS, Tokens(vocabulary=300, max_length=12))
    tokenizer.save(folder)
    torch.manual_seed(0)
    patch = {"cnn": 8, "patches": 16, "resnet": 4}[embedder]
    tuned = Tuned(Mlim(Shape(Size(32, 2, 4), tokenizer.size, tokenizer.mask, 12, 32, patch, embedder)), {})
    width, answers = width_of(tuned.network), {task: ANSWERS[task] for task in tasks}
    tuned.heads.update({task: head_of(task, width, told) for task, told in answers.items()})
    scatter(tuned)
    if "classify" in tasks:
        fill(tuned.heads["classify"].plain, tokenizer)
    save_tuned(folder, tuned)
    write_answers(folder, answers)
    if "match" in tasks:  # and a network of its own that reads two listings together
        (folder / "cross").mkdir()
        tuned = Tuned(tuned.network, {task: head_of(task, width, {}) for task in ("match", "cross")})
        save_tuned(folder / "cross", tuned)
        write_answers(folder / "cross", {"match": {}, "cross": ANSWERS["match"]})
    preparation = {
        **{"format": 1, "feeds": [{"columns": {"id": "id", "title": "title"}, "boilerplate": {}}]},
        "clean": Clean().model_dump(mode="json"),
        "images": {**Images(side=side).model_dump(mode="json"), "encoding": stored},
        **{"image_side": 32, "patch": patch, "placeholders": [], "looks": []},
    }
    (folder / "preparation.json").write_text(json.dumps(preparation))
    (folder / "about.json").write_text(json.dumps(ABOUT))
    return folder


def fill(plain: Plain, tokenizer: TextTokenizer) -> None:
    """As if it had learnt what words and looks say."""
    plain.spelling.copy_(spelling(tokenizer.spelled_V))
    for buffer in (plain.words, plain.looks, plain.prior):
        buffer.copy_(torch.randn_like(buffer))
    plain.rarity.copy_(1 + torch.rand_like(plain.rarity))
    plain.weights[1:] = torch.rand(3, 3)


def photo(seed: int, width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A smooth one."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, len(mode))).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def shelf() -> list[Listing]:
    """Ordinary listings: with and without text and picture, larger and smaller pictures, texts too long."""
    return [
        Listing("0", {"title": "Big red mug", "colour": "red"}, photo(0, 64, 48)),
        Listing("1", {"title": "small  BLUE\u00a0hat\n", "colour": None}, photo(1, 20, 30)),
        Listing("2", {"title": "mug " * 9, "colour": "blue"}, None),
        Listing("3", {"title": "N/A"}, photo(3, 32, 32)),
        Listing("4", {"title": "cafe\u0301 [MASK] [title] \u200b£½"}, photo(4, 100, 13)),
        Listing("5", {"colour": " "}, photo(5, 50, 50, "RGBA")),
        Listing("6", {}, None),
        Listing("7", {"title": "hat"}, photo(7, 33, 90).convert("L")),
    ]


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of all tasks, exported."""
    folder = tmp_path_factory.mktemp("export")
    list(export(portable(folder / "model"), folder / "out", licence="mit"))
    return folder / "out"


@pytest.fixture(scope="session")
def answers(out: Path) -> Answers:
    return Answers.open(out, "cpu", 1)


@pytest.fixture(scope="session")
def code(out: Path) -> Iterator[Any]:
    """The exported folder's own modeling_mlim.py."""
    with code_of(out) as found:
        yield found.modeling_mlim


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    return lambda **how: portable(tmp_path / "model", **how)
