"""Listings drawn more or less often than once an epoch: by weight, or so that classes are balanced."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.draws import ORDER, stream
from workbench.errors import DataError
from workbench.recipe.schema import Balance, Sampling, Weights

Floats = NDArray[np.float64]
_GOLDEN = (5**0.5 - 1) / 2


class Draws(Protocol):
    """What is drawn at the places of an epoch, known without the epochs before it."""

    def draw(self, seed: int, epoch: int, places: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The things (B,) at these places of an epoch's n draws, and how often each was drawn at smaller places."""


@dataclass(frozen=True, eq=False)
class Frequencies:
    """How often each of n things is drawn in an epoch of n draws; of 16 bytes a thing.

    Systematic sampling (Madow 1949): things lie one after another on a line of length n, each as long as the draws
    expected of it, and every point `place + phase` draws what it lies in. So in every epoch each thing, and each
    class, is drawn as often as expected, rounded down or up. The phase walks by the golden ratio, epoch after epoch,
    whose points are spread as evenly as can be: what is expected 0.1 times an epoch comes about every tenth epoch, and
    nothing is starved. Any epoch is known without those before it.
    """

    ends_n: Floats  # where each thing's stretch ends, in the order on the line
    things_n: NDArray[np.integer]  # and the thing

    @classmethod
    def of(cls, weights_n: Floats, classes_n: NDArray[np.integer], seed: int) -> Frequencies:
        """Draws in proportion to weights; the things of a class lie together on the line, shuffled by `seed`."""
        mixed = stream(seed, ORDER).permutation(len(weights_n))
        things_n = mixed[np.argsort(classes_n[mixed], kind="stable")]
        expected_n = len(weights_n) * weights_n[things_n] / weights_n.sum()
        ends_n = np.minimum(np.cumsum(expected_n), len(weights_n))
        ends_n[np.flatnonzero(expected_n)[-1] :] = len(weights_n)  # what rounding took from the last
        return cls(ends_n, things_n)

    def draw(self, seed: int, epoch: int, places: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The things (B,) at these places of an epoch's n draws, and how often each was drawn at smaller places."""
        phase = (stream(seed, ORDER).random() + epoch * _GOLDEN) % 1
        phase -= phase % 2**-20  # so that no sum with a place is rounded
        found = np.searchsorted(self.ends_n, places + phase, side="right")
        start = np.where(found, self.ends_n[found - 1], 0)
        visits = places - np.ceil(start - phase).astype(np.int64)
        return self.things_n[found].astype(np.int64), np.maximum(visits, 0)


def balanced(classes_n: NDArray[np.integer], strength: float, seed: int) -> Frequencies:
    """Each class's share of the draws is in proportion to its size ** (1 - strength): 1 draws all equally often."""
    sizes = np.bincount(classes_n).astype(np.float64)
    return Frequencies.of(sizes[classes_n] ** -strength, classes_n, seed)


def frequencies(items: pl.DataFrame, rows_n: NDArray[np.integer], sampling: Sampling, seed: int) -> Frequencies | None:
    """What a recipe asks for of these rows; `items` has the columns id and label.NAME. Raises DataError."""
    how = sampling.balance or sampling.weights
    if how is None:
        return None
    where = f"pretrain.sampling.{'balance' if sampling.balance else 'weights'}"
    if (column := f"label.{how.label}") not in items.columns:
        known = ", ".join(c.removeprefix("label.") for c in items.columns if c.startswith("label."))
        raise DataError(
            f"{where}.label: no feed has a label {how.label!r}; "
            + (f"the labels are: {known}" if known else "name its column in catalog.feeds.columns.labels")
        )
    labels = items.select("id", label=column)[rows_n]
    if isinstance(how, Balance):
        return balanced(labels["label"].rank("dense").fill_null(0).to_numpy(), how.strength, seed)
    weights_n = _of_classes(where, how, labels) if how.classes else _numbers(where, how, labels)
    if not weights_n.any():
        raise DataError(f"{where}: every training listing has the weight 0; expected some above 0")
    return Frequencies.of(weights_n, np.zeros(len(weights_n), np.int64), seed)


def _numbers(where: str, weights: Weights, items: pl.DataFrame) -> Floats:
    """(n,) the number that each label is."""
    found = items["label"].cast(pl.Float64, strict=False)
    right = (found.is_finite() & (found >= 0)).fill_null(False) | items["label"].is_null()
    for name, label in items.filter(~right).head(1).rows():
        raise DataError(
            f"{where}.label: listing {name!r} has {label!r} in {weights.label!r}; expected a number of at least 0, or "
            f"the weight of each class in {where}.classes"
        )
    return found.fill_null(weights.other).to_numpy()


def _of_classes(where: str, weights: Weights, items: pl.DataFrame) -> Floats:
    """(n,) the weight of each label's class."""
    known = items["label"].drop_nulls().unique().sort().to_list()
    for name in set(weights.classes).difference(known):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)
        raise DataError(f"{where}.classes: no training listing has {name!r}; did you mean {near}?")
    return items["label"].replace_strict(weights.classes, default=weights.other, return_dtype=pl.Float64).to_numpy()
