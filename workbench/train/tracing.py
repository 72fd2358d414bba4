"""A trace of some steps, for Perfetto (ui.perfetto.dev) or chrome://tracing, and what took the time in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_DEAREST = 10


class Trace:
    """Traces optimizer steps `first` to `last`, both counted from 1, by torch.profiler; what they compute is the same.

    Of a run that begins or ends between these, what there is of them.
    """

    def __init__(self, steps: tuple[int, int] | None, file: Path, say: Callable[[str], None]) -> None:
        self._first, self._last = steps or (0, 0)
        self._file, self._say = file, say
        self._profiler: Any = None

    def after(self, step: int) -> None:
        """To be told of each step that is done, and of the one before the first."""
        if self._profiler:
            self._profiler.step()
        if step >= self._last:
            self.close()
        elif step + 1 >= self._first and not self._profiler:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its notes on itself would run into the bar
            from torch.profiler import profile

            self._profiler = profile()
            self._profiler.start()

    def close(self) -> None:
        """Write the trace, if there is one, and tell of the dearest operators."""
        if not self._profiler:
            return
        from torch.autograd import DeviceType  # type: ignore[attr-defined]

        profiler, self._profiler = self._profiler, None
        profiler.stop()
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(self._file))
            self._say(f"trace of steps {self._first} to {self._last}: {self._file} (open it in ui.perfetto.dev)")
        except (OSError, RuntimeError) as error:  # a trace is not worth a training
            self._say(f"warning: {self._file}: no trace, since it can't be written: {error}")
        # A GPU's kernels have rows of their own, beside those of the operators that started them.
        rows = [row for row in profiler.key_averages() if row.device_type == DeviceType.CPU]
        operators = [row for row in rows if not row.is_user_annotation]
        own = "self_device_time_total" if any(o.self_device_time_total for o in operators) else "self_cpu_time_total"
        whole = sum(getattr(o, own) for o in operators) or 1.0
        for operator in sorted(operators, key=lambda o: -getattr(o, own))[:_DEAREST]:
            time = getattr(operator, own)
            self._say(f"  {time / whole:6.1%}  {time / 1e3:9.1f} ms  {operator.count:6} x  {operator.key}")
