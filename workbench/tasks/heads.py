"""The head of each task, from what `answers.json` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from workbench.tasks.classify.net import ClassHead
from workbench.tasks.match.cross import CrossHead
from workbench.tasks.match.net import MatchHead
from workbench.tasks.retrieve.net import RetrieveHead


def head_of(task: str, width: int, told: Mapping[str, Any]) -> nn.Module:
    """A new head that reads `width` numbers a listing."""
    if task == "match":
        return MatchHead(width)
    if task == "cross":
        return CrossHead(told["width"])
    if task == "classify":
        return ClassHead(width, len(told["classes"]))
    if task == "retrieve":
        return RetrieveHead(width)
    raise ValueError(task)
