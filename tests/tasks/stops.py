"""Trainings that are sent SIGTERM."""

import os
import signal
from types import ModuleType

import pytest


def stop_after(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *steps: int) -> None:
    """The next trainings by the `fit` of this module are sent SIGTERM after so many steps; those after these aren't."""
    stops, fit = iter(steps), module.fit

    def stopping_fit(*args, stop, **how):
        left = next(stops, 0)

        def wish() -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return stop()

        return fit(*args, stop=wish, **how)

    monkeypatch.setattr(module, "fit", stopping_fit)
