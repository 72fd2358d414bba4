"""What a person sees of a training: a progress bar or lines, and a log of times kept outside the artifact."""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from workbench.artifacts.stage import Work
    from workbench.train.loop import Progress

_SMOOTH = 0.95  # weight of the past in what the bar shows
_LINE = 30.0  # seconds between lines, where there is no bar
_MUCH = 0.05  # share of data wait from which on something should be done about it


class Meter:
    """Samples/s, data wait and losses: in a bar on a terminal, else in a line every 30 s; at the end a line of it all.

    Every `every` steps what passed since the last time is added to `work.log`.
    """

    def __init__(self, work: Work, what: str, steps: int, every: int) -> None:
        self._what, self._steps, self._every = what, steps, every
        self._log, self._console = work.log, work.console
        self._step = 0
        self._losses: dict[str, float] = {}
        self._window = [0.0, 0.0, 0.0]  # samples, seconds, seconds waited since the last line of the log
        self._all = [0.0, 0.0, 0.0]  # the same of all steps but the first, which waits for the very first batch
        self._begun = False
        self._quiet = 0.0  # seconds since a line was shown
        self._bar = Bar(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[seen]}"),
            TimeRemainingColumn(),
            console=work.console,
            disable=not work.console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=steps, seen="")

    def __enter__(self) -> Meter:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._window[0]:  # the last steps, or all of a short training
            self._write()
        samples, seconds, waited = self._all
        if seconds:
            share = waited / seconds
            hint = "; `mlim bench loader RECIPE` says what bounds the loader" if share > _MUCH else ""
            self._say(f"{samples / seconds:.0f}/s, data wait {share:.1%} of {seconds:.0f} s{hint}")

    def __call__(self, progress: Progress) -> None:
        for name, value in progress.losses.items():
            self._losses[name] = _SMOOTH * self._losses.get(name, value) + (1 - _SMOOTH) * value
        for i, value in enumerate((progress.samples, progress.seconds, progress.waited)):
            self._window[i] += value
            self._all[i] += value * self._begun
        self._begun = True
        samples, seconds, waited = self._window
        losses = "  ".join(f"{name} {value:.3f}" for name, value in self._losses.items())
        seen = f"{samples / seconds:.0f}/s  data wait {waited / seconds:.0%}  {losses}"
        self._bar.update(self._task, completed=progress.step, seen=seen)
        self._step = progress.step
        self._quiet += progress.seconds
        if self._bar.disable and self._quiet >= _LINE:
            self._say(f"{progress.step}/{self._steps}  {seen}")
        if progress.step % self._every == 0:
            self._write()

    def _say(self, line: str) -> None:
        self._console.print(f"{self._what}  {line}", soft_wrap=True, markup=False)
        self._quiet = 0.0

    def _write(self) -> None:
        samples, seconds, waited = self._window
        with self._log.open("a") as log:
            times = {"step": self._step, "samples": samples, "seconds": seconds, "waited": waited}
            log.write(json.dumps(times) + "\n")
        self._window = [0.0, 0.0, 0.0]
