"""What a check found: a state, in words, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    state: State
    found: str
    mend: str = ""  # what to do, of all that isn't ok
    needed: bool = True  # whether mlim, or the recipe, can't do without it

    @property
    def stops(self) -> bool:
        """Whether something that is needed doesn't work."""
        return self.needed and self.state in ("missing", "broken")


def judged(name: str, found: str, mend: str, good: bool) -> Finding:
    """ok, or else a warning: it works, and may not be what is wanted."""
    return Finding(name, "ok", found) if good else Finding(name, "warning", found, mend)
