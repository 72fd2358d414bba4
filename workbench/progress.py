"""How a long step is shown."""

from __future__ import annotations

from typing import Any

from rich.console import Console

WARNING = "yellow"  # the style of what --quiet shows, too


class Hushed(Console):
    """A console that shows warnings alone."""

    def __init__(self) -> None:
        super().__init__(stderr=True, quiet=True, highlight=False)

    def print(self, *objects: Any, style: Any = None, **how: Any) -> None:
        self.quiet = style != WARNING
        super().print(*objects, style=style, **how)
        self.quiet = True
