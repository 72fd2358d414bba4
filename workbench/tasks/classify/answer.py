"""From a class head's numbers to what people read, by what `answers.json` tells of the task. No torch.

levels        names of the labels, from the widest to the narrowest
several       what parts the classes of a listing, or null where it is in one
classes       the K classes by name, sorted ("home > lamps")
paths         the same as lists of their steps
temperature   by which logits are divided
thresholds    of several: from which probability on a listing is in each class; else null
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from workbench.evaluate import calibrate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def probabilities(told: Mapping[str, Any], logits_nK: NDArray[Any]) -> Floats:
    """(n, K) calibrated: they sum to 1 over the classes, or (several) each stands by itself."""
    return calibrate.probabilities(logits_nK, told["temperature"], told["several"] is not None)


def best(paths: Sequence[Sequence[str | None]], probabilities_nK: Floats) -> tuple[Ints, Floats]:
    """(n,) the class of each listing, and (n, levels) the probability of each step of its path.

    A step's probability is the sum of the classes below it. The walk begins at the top: the most probable first step,
    then the most probable below that, so the steps are consistent and no class wins against its own parent.
    """
    left_nK = np.array(probabilities_nK, np.float64)
    every_n, sums = np.arange(len(left_nK)), []
    for level in range(max(map(len, paths), default=0)):
        steps = {step: i for i, step in enumerate(dict.fromkeys(tuple(path[: level + 1]) for path in paths))}
        step_K = np.array([steps[tuple(path[: level + 1])] for path in paths])
        below_KS = sp.csr_array((np.ones(len(paths)), (np.arange(len(paths)), step_K)), (len(paths), len(steps)))
        sum_nS = (below_KS.T @ left_nK.T).T
        chosen_n = sum_nS.argmax(1)
        left_nK = np.where(step_K == chosen_n[:, None], left_nK, 0)
        sums.append(sum_nS[every_n, chosen_n])
    return left_nK.argmax(1), np.stack(sums, 1)


def table(told: Mapping[str, Any], logits_nK: NDArray[Any]) -> pl.DataFrame:
    """A line for each listing: the class at each level, and "LEVEL.probability"; of several, all that reach their
    thresholds and their probabilities, parted as in the feed, null where none does."""
    probability_nK, levels = probabilities(told, logits_nK), told["levels"]
    if told["several"] is not None:
        return _several(told, probability_nK)
    paths = told["paths"]
    class_n, step_nL = best(paths, probability_nK)
    columns: dict[str, Any] = {}
    for level, name in enumerate(levels):
        steps = [paths[k][level] if level < len(paths[k]) else None for k in class_n]
        columns[name] = pl.Series(steps, dtype=pl.String)
        there = step_nL[:, min(level, step_nL.shape[1] - 1)]
        columns[f"{name}.probability"] = pl.Series(there).set(columns[name].is_null(), None)
    return pl.DataFrame(columns)


def _several(told: Mapping[str, Any], probability_nK: Floats) -> pl.DataFrame:
    (name,) = told["levels"]
    chosen = [np.flatnonzero(row) for row in probability_nK >= np.array(told["thresholds"])]
    names = [told["several"].join(told["classes"][k] for k in at) or None for at in chosen]
    said = [[f"{p:.4f}" for p in row[at]] for row, at in zip(probability_nK, chosen, strict=True)]
    sure = [told["several"].join(numbers) or None for numbers in said]
    columns = {name: names, f"{name}.probability": sure}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
