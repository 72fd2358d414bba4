"""From the scores of values to what people read, by what `answers.json` tells of the task. No torch.

answer        classes or words: what the scores are, logits or mean log likelihoods
attributes    name -> values (those that can be said), marker, pieces, temperature (by which scores are divided),
              threshold (the confidence from which on a value is said; null: none ever is)
text          what is needed to take a field out of a text (batches/fields.py)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.evaluate import calibrate

Floats = NDArray[np.float64]


def probabilities(told: Mapping[str, Any], scores_nV: NDArray[Any]) -> dict[str, Floats]:
    """Attribute -> (n, its values), calibrated; they sum to 1."""
    return {name: calibrate.probabilities(part, a["temperature"]) for name, a, part in _parts(told, scores_nV)}


def table(told: Mapping[str, Any], scores_nV: NDArray[Any]) -> pl.DataFrame:
    """A line for each listing: of each attribute its value, null for "don't know", and ATTRIBUTE.confidence: the
    probability of the most probable value, said or not."""
    columns: dict[str, pl.Series] = {}
    for name, probability_nv in probabilities(told, scores_nV).items():
        attribute, sure_n = told["attributes"][name], probability_nv.max(1)
        said = pl.Series([attribute["values"][v] for v in probability_nv.argmax(1)], dtype=pl.String)
        columns[name] = said.set(pl.Series(~known(attribute["threshold"], sure_n)), None)
        columns[f"{name}.confidence"] = pl.Series(sure_n, dtype=pl.Float64)
    return pl.DataFrame(columns)


def known(threshold: float | None, sure_n: Floats) -> NDArray[np.bool_]:
    """Whether it is sure enough to say it."""
    return np.asarray(sure_n >= (np.inf if threshold is None else threshold))


def _parts(told: Mapping[str, Any], scores_nV: NDArray[Any]) -> Iterator[tuple[str, Mapping[str, Any], NDArray[Any]]]:
    start = 0
    for name, attribute in told["attributes"].items():
        end = start + len(attribute["values"])
        yield name, attribute, scores_nV[:, start:end]
        start = end
