"""The head of each task, from what `answers.json` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from workbench.batch import Batch
from workbench.tasks.classify.net import ClassHead
from workbench.tasks.classify.plain import Plain
from workbench.tasks.fill.ask import ask
from workbench.tasks.fill.net import SaysWords
from workbench.tasks.match.cross import CrossHead
from workbench.tasks.match.net import MatchHead
from workbench.tasks.retrieve.net import RetrieveHead
from workbench.tasks.tuned import Tuned


def head_of(task: str, width: int, told: Mapping[str, Any]) -> nn.Module:
    """A new head that reads `width` numbers a listing."""
    if task == "match":
        return MatchHead(width)
    if task == "cross":
        return CrossHead(width)
    if task == "classify":
        classes, pieces = len(told["classes"]), told.get("pieces")  # none: of before words and looks counted
        return ClassHead(width, classes, plain=Plain(classes, pieces, told["several"] is not None) if pieces else None)
    if task == "retrieve":
        return RetrieveHead(width)
    if task == "fill":
        values = sum(len(attribute["values"]) for attribute in told["attributes"].values())
        return SaysWords() if told["answer"] == "words" else ClassHead(width, values)
    raise ValueError(task)


def outputs(tuned: Tuned, task: str, batch: Batch, told: Mapping[str, Any]) -> Tensor:
    """(B, …) what a task's head says of each listing; its `answer.py` reads them."""
    if task == "fill":
        return ask(tuned, batch, told)
    return tuned.said(task, batch, tuned.pooled(batch))
