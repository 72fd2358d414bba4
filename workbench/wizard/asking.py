"""Questions to whoever is there: numbered choices, each with a default that is taken and told where nobody answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST = 5  # questions


@dataclass
class Asking:
    """`say` shows a line; `read` gives the next one that was typed, None at their end; without it nobody is asked."""

    say: Callable[[str], None]
    read: Callable[[str], str | None] | None = None
    asked: int = 0

    def choose(
        self, text: str, choices: Sequence[str], default: int = 0, kinds: Sequence[str] | None = None
    ) -> list[int]:
        """Numbers of the choices, from 0. `kinds`: several may be given, one of each kind."""
        if not (read := self._asks()):
            return self._told(text, choices, default)
        self.say(f"\n{text}")
        for number, choice in enumerate(choices, 1):
            self.say(f"  {number}  {choice}")
        several = "; several as 1,2" if kinds else ""
        while (typed := read(f"[{default + 1}{several}] ")) is not None:
            found = [_number(word.strip(), choices) for word in typed.split(",")] if typed.strip() else [default]
            given = [number for number in found if number is not None]
            if len(given) == len(found) and _fit(given, kinds):
                return given
            self.say(f"expected a number from 1 to {len(choices)}" + (", or one of each kind as 1,2" if kinds else ""))
        return self._told(text, choices, default)

    def text(self, text: str) -> str:
        """A line, "" where nobody answers."""
        if not (read := self._asks()):
            return ""
        self.say(f"\n{text}")
        return (read("> ") or "").strip()

    def _asks(self) -> Callable[[str], str | None] | None:
        self.asked += 1
        return self.read if self.asked <= MOST else None

    def _told(self, text: str, choices: Sequence[str], default: int) -> list[int]:
        self.say(f"{text} {choices[default]}")
        return [default]


def keyboard(prompt: str) -> str | None:
    """The next line that is typed; None at the end of them."""
    try:
        return input(prompt)
    except EOFError:
        print()
        return None


def _number(word: str, choices: Sequence[str]) -> int | None:
    """By its number, or by its own words."""
    if word.isdecimal() and 1 <= int(word) <= len(choices):
        return int(word) - 1
    found = [i for i, choice in enumerate(choices) if word and choice.lower().startswith(word.lower())]
    return found[0] if len(found) == 1 else None


def _fit(given: Sequence[int], kinds: Sequence[str] | None) -> bool:
    named = [kinds[number] for number in given] if kinds else given
    return len(given) == 1 or (kinds is not None and len(set(named)) == len(given))
