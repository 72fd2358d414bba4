"""How a long step is shown while it runs: one look for all of them.

On a terminal a bar:   images ━━━━━━━━━━━━━━━━ 12,345/15,000 pictures  1,034/s  12 broken  0:02 left
In a pipe a line of the same words every half a minute, without control characters; with --quiet nothing.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

T = TypeVar("T")

WARNING = "yellow"  # the style of what --quiet shows, too
QUIET = "MLIM_QUIET"  # in the environment of a command that was told to be, and of its processes
LINE = 30.0  # seconds between lines, where there is no bar
WINDOW = 30.0  # seconds that a speed is of
_BAR = 16  # characters


class Progress:
    """One step, entered while it runs; safe to use from several threads. `what` names it, `unit` what is counted;
    `total` is None where nobody knows it, or `guessed`. `done` was done by an earlier run: no part of the speed."""

    def __init__(
        self,
        console: Console,
        what: str,
        total: float | None = None,
        unit: str = "",
        done: float = 0,
        guessed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guessed = guessed
        self.total, self._done, self._what, self._unit = total, done, what, unit
        self._console, self._clock = console, clock
        self._lost = Counter[str]()
        self._said: Sequence[str] = ()
        self._told = clock()
        self._first = self._told, done
        self._seen = deque([self._first])  # moments, and what was done by then
        self._quiet = console.quiet or QUIET in os.environ
        columns = (TextColumn(what, markup=False), BarColumn(_BAR), _Words(self._fitting))
        self._bars = Bars(*columns, console=console, disable=self._quiet or not console.is_interactive)
        self._bar = self._bars.add_task("", total=total, completed=int(done))

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def advance(self, count: float = 1, *said: str, **lost: int) -> None:
        """So many more are done; of them so many `lost`, by what became of them: dropped=3. `said` are words in place
        of the speed, the most important first."""
        self._done += count
        self._lost.update(lost)
        if self._guessed and self.total and self._done >= self.total:
            self.total = None
        self._said = said
        now = self._clock()
        if now - self._seen[-1][0] >= WINDOW / 60:
            self._seen.append((now, self._done))
            while self._seen[0][0] < now - WINDOW and len(self._seen) > 2:
                self._seen.popleft()
        if not self._bars.disable:
            self._bars.update(self._bar, completed=self._done, total=self.total)
        elif now - self._told >= LINE and not self._quiet:
            self._told = now
            first, words, last = self._words()
            self.say("  ".join(filter(None, [first, *words, last])))

    def say(self, line: str) -> None:
        """A line of its own, above the bar."""
        self._console.print(f"{self._what}  {line}", soft_wrap=True, markup=False, highlight=False)

    def _words(self) -> tuple[str, list[str], str]:
        """How far, how fast and what was lost, how long still (or, at the end, how long it took)."""
        now, whole = self._clock(), self._done == self.total
        then, before = self._first if whole else self._seen[0]
        speed = (self._done - before) / (now - then) if now > then else 0.0
        said = self._said or ([_speed(speed)] if speed else [])
        lost = [f"{count:,} {name.replace('_', ' ')}" for name, count in self._lost.items() if count]
        of = (
            ""
            if self.total is None
            else f"/~{float(f'{self.total:.2g}'):,.0f}"
            if self._guessed
            else f"/{self.total:,.0f}"
        )
        last = f"in {_clock(now - self._first[0])}" if whole or self.total is None else ""
        if not last and speed and self.total:
            last = f"{_clock((self.total - self._done) / speed)} left"
        return f"{self._done:,.0f}{of} {self._unit}".rstrip(), [*said, *lost], last

    def _fitting(self) -> Text:
        """As many of the words as the terminal has room for; the first always, the last rather than the others."""
        first, words, last = self._words()
        room = self._console.width - _BAR - len(f"{self._what}  {first}  {last}")  # spaces beside the bar, too
        last, ends = last * (room >= 0), accumulate(len(word) + 2 for word in words)
        return Text("  ".join([first, *(word for word, end in zip(words, ends, strict=True) if end <= room), last]))


def followed(console: Console, what: str, pieces: Sequence[T], size: Callable[[T], int]) -> Iterator[T]:
    """The pieces, one after another, while it is shown how many of the listings in them are done."""
    with Progress(console, what, sum(map(size, pieces)), "listings") as progress:
        for piece in pieces:
            yield piece
            progress.advance(size(piece))


class _Words(ProgressColumn):
    """Whatever is said at the moment."""

    max_refresh = None

    def __init__(self, words: Callable[[], Text]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Any) -> Text:
        return self._words()


class Hushed(Console):
    """A console that shows warnings alone."""

    def __init__(self) -> None:
        super().__init__(stderr=True, quiet=True, highlight=False)

    def print(self, *objects: Any, style: Any = None, **how: Any) -> None:
        self.quiet = style != WARNING
        super().print(*objects, style=style, **how)
        self.quiet = True


def _speed(speed: float) -> str:
    if speed < 0.2:
        return f"{1 / speed:,.0f} s each"
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
