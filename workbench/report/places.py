"""Where a row stands, as its feed's owner would say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.recipe.schema import Feed


def names(feeds: Sequence[Feed]) -> list[str]:
    """The feeds in their order, as a reader would call them."""
    return [feed.path.name if feed.path else feed.dataset or "the query" for feed in feeds]


def place(feeds: Sequence[str], line: Mapping[str, Any]) -> str:
    """`shop.zip/mugs.csv, line 7`, of a line with feed (its number), file and line; `feeds` are the names."""
    return f"{'/'.join(filter(None, (feeds[line['feed']], line['file'])))}, line {line['line']}"
