"""The model card: what the model is, how it is loaded, what it was measured at, from about.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.answers.compose import ABOUT
from workbench.answers.preparation import PREPARATION
from workbench.tasks.tuned import ANSWERS
from workbench.text.tokenizer import VOCABULARY

CARD = "README.md"
MEASURES = {"pr_auc": "PR AUC", "macro_f1": "macro-F1", "mrr": "MRR"}


def write_card(folder: Path, name: str, licence: str | None = None, onnx: Mapping[str, Any] | None = None) -> None:
    """Write README.md; `name` is that of the exported folder or of its repository on the hub ("user/name").

    `onnx`: opset and the greatest difference to torch, where there is such a file.
    """
    from jinja2 import Environment, StrictUndefined

    pages = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    pages.filters |= {"words": _words, "share": _share, "interval": _interval}
    about, told, words = (json.loads((folder / file).read_text("utf-8")) for file in (ABOUT, PREPARATION, VOCABULARY))
    answers = json.loads((folder / ANSWERS).read_text("utf-8")) if (folder / ANSWERS).is_file() else {}
    text = pages.from_string(Path(__file__).with_name("card.md").read_text("utf-8")).render(
        name=name.rpartition("/")[2],
        folder=name,
        on_hub="/" in name,
        licence=licence,
        languages=sorted(about["catalog"].get("languages", {})),
        answers=[_answer(task, answers[task]) for task in answers],
        about=about,
        onnx=onnx,
        fields=words["fields"],
        length=words["max_length"],
        side=told["image_side"],
        results=_by_task(about),
    )
    (folder / CARD).write_text(text, "utf-8")


def _by_task(about: Mapping[str, Any]) -> dict[str, Any]:
    """Figures by task, of a network for one or for all."""
    results = about["results"]
    found = {about["task"]: results} if "arms" in results else results
    return {task: _whole(one) for task, one in found.items() if one.get("measure")}


def _whole(section: Mapping[str, Any]) -> dict[str, Any]:
    """With the readings of the network alone, which is the first arm."""
    kept = [line for line in section.get("readings", ()) if line["arm"] == section["arms"][0]["arm"]]
    return {"verdict": [], "undefined": {}, **section, "readings": kept}


def _answer(task: str, told: Mapping[str, Any]) -> str:
    """What a task adds, in words."""
    if task == "classify":
        return f"one of {len(told['classes'])} classes" if told["several"] is None else f"{len(told['classes'])} labels"
    if task == "fill":
        return f"missing attributes ({', '.join(told['attributes'])})"
    pairs = {"match": "the probability that two are one product", "retrieve": "search by text, picture or both"}
    return pairs.get(task, task)


def _words(measure: str) -> str:
    return MEASURES.get(measure, measure.replace("_", " "))


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"


def _interval(found: Mapping[str, float] | None) -> str:
    if not found or found.get("mean") is None:
        return "undefined"
    return "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**found)
