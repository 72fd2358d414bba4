"""The documentation as its tests read it: fenced blocks, commands among the text, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = {"docs/recipe.md", "docs/feeds.md"}  # tests of their own hold them to the code
HISTORY = {"docs/log.md", "CHANGELOG.md"}  # what was true on its day
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md"))
    if str(path.relative_to(ROOT)) not in HISTORY
)

# <!-- not run: why --> stands above a block that is only looked at
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>.+?) -->\n+)?^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)
INLINE = re.compile(r"`(mlim [a-z][^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, in which language, and why it isn't run, if it isn't."""

    place: str
    language: str
    text: str
    why: str | None

    def commands(self) -> Iterator[list[str]]:
        """The words of each line of a shell; a backslash at its end goes on."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    text = read(page)
    return [
        Block(
            f"{page}:{text.count(chr(10), 0, found.start('language')) + 1}",
            found["language"],
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.M),
            found["why"],
        )
        for found in FENCE.finditer(text)
    ]


def prose(page: str) -> str:
    """What is between the blocks."""
    return FENCE.sub("", read(page))
