"""What a person sees of a training: a progress bar or lines, a log of times kept outside the artifact, trackers."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from workbench.progress import Progress as Bar
from workbench.train.span import Gauge, Span
from workbench.train.tracing import Trace
from workbench.train.trackers import Curve, Trackers, flat

if TYPE_CHECKING:
    from workbench.artifacts.stage import Work
    from workbench.train.loop import Progress

_SMOOTH = 0.95  # weight of the past in what the bar shows of losses
_MUCH = 0.05  # share of data wait from which on something should be done about it


class Meter:
    """Speed, data wait, share of the peak and losses, beside the bar or in the lines of `progress.py`; at the end a
    line of it all. Every `every` steps what passed since the last time goes to `work.log` and to the trackers.

    Of several processes the first alone shows anything.
    """

    def __init__(
        self,
        work: Work,
        what: str,
        steps: int,
        every: int,
        recipe: str = "",
        steps_per_epoch: int | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        self._work, self._what, self._steps, self._every = work, what, steps, every
        self._steps_per_epoch, self._gauge = steps_per_epoch or steps, gauge or Gauge()
        self._folder, self._recipe = work.runtime.reports / recipe, recipe
        self._silent = work.world is not None and not work.world.chief
        self._start: int | None = None  # step after which this run goes on
        self._latest: Progress | None = None
        self._losses: dict[str, float] = {}
        self._valid: dict[str, float] = {}
        self._window = Span()  # since the last line of the log
        self._before = Span()  # of the last line of the log
        self._all = Span()  # of all steps but the first, which waits for the very first batch
        self._seconds = 0.0  # of the steps
        self._shown = ExitStack()

    def __enter__(self) -> Meter:
        return self

    def begin(self, step: int) -> None:
        """Before the first step of this run, which goes on after `step`; later calls do nothing."""
        if self._silent or self._start is not None:
            return
        work = self._work
        self._gauge.begin()
        bar = Bar(work.console, self._what, self._steps, "steps", step, clock=lambda: self._seconds)
        self._bar, self._done = self._shown.enter_context(bar), step
        self._trackers = Trackers(work.runtime.trackers, self._curve(), step, self._say)
        self._trace = Trace(work.runtime.profile, self._folder / f"trace-{work.log.stem}.json.gz", self._say)
        self._start = step
        self._trace.after(step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._start is not None:
            self._trace.close()
            if self._window.seconds:  # the last steps, or all of a short training
                self._write()
            self._trackers.close(whole=kind is None)
        self._shown.close()
        if self._latest and self._all.seconds:
            self._say(self._summary(self._latest))

    def __call__(self, progress: Progress) -> None:
        if self._silent:
            return
        self.begin(progress.step - 1)
        span = self._gauge.span(progress)
        self._window += span
        if self._latest:
            self._all += span
        self._latest = replace(progress, batches=())  # which would stay in memory
        self._valid = progress.valid or self._valid
        self._seconds += progress.seconds
        for name, value in progress.losses.items():
            self._losses[name] = _SMOOTH * self._losses.get(name, value) + (1 - _SMOOTH) * value
        if progress.losses:  # else a GPU is still at work, and speeds would be too high
            self._bar.advance(progress.step - self._done, *self._seen(progress))
            self._done = progress.step
        if progress.step % self._every == 0 or progress.valid:
            self._write()
        self._trace.after(progress.step)

    def _seen(self, progress: Progress) -> list[str]:
        """In words, what matters most first."""
        span, bad = self._before + self._window, progress.position.bad
        words = [f"{span.samples / span.training:.0f}/s", *[f"{bad} skipped"] * (bad > 0)]
        words += [f"{name} {value:.3f}" for name, value in self._losses.items()]
        words.append(f"data wait {span.waited / span.training:.0%}")
        if share := self._gauge.share(span):
            words.append(f"MFU {share:.0%}")
        words += [f"valid {name} {value:.3f}" for name, value in self._valid.items()]
        if progress.norm is not None:
            words.append(f"norm {progress.norm:.2g}")
        return [*words, f"lr {progress.lr:.1e}"]

    def _summary(self, progress: Progress) -> str:
        span, start = self._all, self._start or 0
        wait = span.waited / span.training
        words = [f"{span.samples / span.training:.0f}/s, data wait {wait:.1%} of {span.seconds:.0f} s"]
        if share := self._gauge.share(span):
            words.append(f"MFU {share:.1%} of {self._gauge.peak}")
        for what, seconds in (("checkpoints", span.saved), ("validation", span.validated)):
            words += [f"{what} {seconds / span.seconds:.1%} of the time"] * (seconds > 0)
        if start:
            words.append(f"steps {start + 1} to {progress.step} in this run, {progress.position.seconds:.0f} s in all")
        words += ["`mlim bench loader RECIPE` says what bounds the loader"] * (wait > _MUCH)
        return "; ".join(words)

    def _write(self) -> None:
        """What passed since the last time, into the log and to the trackers."""
        span, progress = self._window, self._latest
        assert progress
        self._before, self._window = span, Span()
        memory, mfu = self._gauge.memory(), self._gauge.share(span)
        share = {} if mfu is None else {"mfu": mfu}
        try:
            with self._work.log.open("a") as log:
                log.write(json.dumps({"step": progress.step} | span.sums() | share | memory) + "\n")
        except OSError as error:  # times are not worth a training
            self._say(f"warning: {self._work.log}: {error.strerror}; times of the last steps are not logged")
        values = {
            "epoch": progress.step / self._steps_per_epoch,
            "lr": progress.lr,
            "skipped_steps": progress.position.bad,
            "speed/listings": span.samples / span.training,
            "speed/positions": span.positions / span.training,
            "speed/mfu": mfu,
            "time/data_wait": span.waited / span.training,
            "time/validation": span.validated / span.seconds,
            "time/checkpoints": span.saved / span.seconds,
            "grad_norm": progress.norm,
            **{f"memory/{name}": value for name, value in memory.items()},
            **{f"loss/{name}": value for name, value in progress.losses.items()},
            **{f"valid/{name}": value for name, value in progress.valid.items()},
        }
        known = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
        self._trackers.log(progress.step, known)

    def _curve(self) -> Curve:
        """Named by the key of what is made, with the recipe and the keys of the artifacts that it is made of."""
        config: dict[str, str | float] = {}
        for made in (*(artifact.ingredients for artifact in self._work.inputs.values()), self._work.ingredients):
            config |= flat(made.get("section", {}))
        config |= {f"artifact.{name}": artifact.key for name, artifact in self._work.inputs.items()}
        return Curve(self._work.log.stem, f"{self._recipe} {self._what}".strip(), config, self._folder)

    def _say(self, line: str) -> None:
        self._work.console.print(f"{self._what}  {line}", soft_wrap=True, markup=False)
