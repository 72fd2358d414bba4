"""What a person sees of a training: a progress bar, and a log of times kept outside the artifact."""

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


class Meter:
    """A progress bar with samples/s, data wait, losses and time left; every `every` steps a line in `work.log`."""

    def __init__(self, work: Work, what: str, steps: int, every: int) -> None:
        self._every = every
        self._log = work.log
        self._step = 0
        self._losses: dict[str, float] = {}
        self._window = [0.0, 0.0, 0.0]  # samples, seconds, seconds waited since the last line
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

    def __call__(self, progress: Progress) -> None:
        for name, value in progress.losses.items():
            self._losses[name] = _SMOOTH * self._losses.get(name, value) + (1 - _SMOOTH) * value
        for i, value in enumerate((progress.samples, progress.seconds, progress.waited)):
            self._window[i] += value
        samples, seconds, waited = self._window
        losses = "  ".join(f"{name} {value:.3f}" for name, value in self._losses.items())
        seen = f"{samples / seconds:.0f}/s  data wait {waited / seconds:.0%}  {losses}"
        self._bar.update(self._task, completed=progress.step, seen=seen)
        self._step = progress.step
        if progress.step % self._every == 0:
            self._write()

    def _write(self) -> None:
        samples, seconds, waited = self._window
        with self._log.open("a") as log:
            times = {"step": self._step, "samples": samples, "seconds": seconds, "waited": waited}
            log.write(json.dumps(times) + "\n")
        self._window = [0.0, 0.0, 0.0]
