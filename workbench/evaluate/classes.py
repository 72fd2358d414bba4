"""Many classes, one guessed for each item."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.evaluate.intervals import Floats


def f1_by_class(truth_n: NDArray[np.int64], guess_n: NDArray[np.int64], classes: int, weights_Rn: Floats) -> Floats:
    """(R, classes) F1 of each class; NaN where a class neither occurs nor is guessed."""
    columns = []
    for label in range(classes):
        true, guessed = truth_n == label, guess_n == label
        hits = weights_Rn @ (true & guessed).astype(np.float64)
        total = weights_Rn @ (true.astype(np.float64) + guessed)
        with np.errstate(invalid="ignore", divide="ignore"):
            columns.append(2 * hits / total)
    return np.stack(columns, 1)


def macro_f1(truth_n: NDArray[np.int64], guess_n: NDArray[np.int64], classes: int, weights_Rn: Floats) -> Floats:
    """(R,) mean F1 over the classes that occur among the items or the guesses of a resample."""
    return np.asarray(np.nanmean(f1_by_class(truth_n, guess_n, classes, weights_Rn), 1))
