"""What the arms of the match task are measured on, and what each says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.evaluate.calibrate import Platt, fit_platt
from workbench.evaluate.intervals import Bools, Floats, weights_of
from workbench.evaluate.slices import slices_of
from workbench.tasks.catalog import Catalog
from workbench.tasks.match.pairs import Pairs
from workbench.tasks.match.tuning import PairTuning
from workbench.tasks.readings import READINGS, has_both, scored


@dataclass(frozen=True)
class ArmScores:
    """What an arm says of the held-out pairs: name (readings.py) -> scores, one for each seed; higher is more alike."""

    arm: str
    share: float | None
    seeds: Sequence[Mapping[str, Floats]]


@dataclass(frozen=True)
class Test:
    """What the arms are measured on."""

    __test__ = False  # pytest takes it for one

    held_out: Mapping[str, Pairs]
    groups: NDArray[np.str_]  # (N,) product group of each row
    products: NDArray[np.int64]  # (N,) number of the product of each row, as far as is known
    both: Bools  # (N,) rows with a text and a usable picture
    slices: pl.DataFrame  # (N,) values of each row
    listings: Mapping[str, NDArray[np.int64]]  # by part: rows whose candidates were looked for

    @classmethod
    def of(cls, catalog: Catalog, tuning: PairTuning) -> Test:
        lengths = catalog.listings.tokens.lengths
        slices = slices_of(catalog.items, catalog.shards.states.to_list(), lengths)
        groups = catalog.items["group"].to_numpy().astype(np.str_)
        both = has_both(catalog, np.arange(catalog.items.height))
        return cls(tuning.held_out, groups, tuning.products, both, slices, tuning.listings)

    @property
    def pairs(self) -> Pairs:
        return self.held_out["test"]

    @cached_property
    def weights_Rn(self) -> Floats:
        return weights_of(self.groups[self.pairs.rows[:, 0]])

    @property
    def whole_n(self) -> Bools:
        """Test pairs of which both have both: what is lost without the one or the other is no matter of the pairs."""
        return np.asarray(self.both[self.pairs.rows].all(1))

    def calibrated(self, seed: Mapping[str, Floats]) -> Platt:
        """What makes these scores probabilities: fitted on the valid pairs."""
        return fit_platt(seed["valid"], self.held_out["valid"].match)


def name(arm: str, share: float | None) -> str:
    """Of an arm's column."""
    return arm if share is None else f"{arm} {share:g}"


def write_scores(path: Path, ids: pl.Series, test: Test, arms: Sequence[ArmScores]) -> None:
    """A line a held-out pair, a column an arm and reading: calibrated probabilities, their mean over the seeds."""
    pairs = test.held_out
    rows = np.vstack([p.rows for p in pairs.values()])
    table: dict[str, Any] = {
        "left": ids[rows[:, 0]],
        "right": ids[rows[:, 1]],
        "match": np.concatenate([p.match for p in pairs.values()]).astype(np.int8),
        "part": np.concatenate([p.part for p in pairs.values()]).tolist(),
        "both": test.both[rows].all(1),
    }
    for arm in arms:
        for reading in (r for r in READINGS if scored("test", r) in arm.seeds[0]):
            column = name(arm.arm, arm.share) + ("" if reading == "both" else f" {reading}")
            table[column] = pl.concat([_probability(test, arm, part, reading) for part in pairs])
    pl.DataFrame(table).write_parquet(path)


def _probability(test: Test, arm: ArmScores, part: str, reading: str) -> pl.Series:
    """Of the pairs of a part; null where they were not read so."""
    name = scored(part, reading)
    if name not in arm.seeds[0]:
        return pl.repeat(None, len(test.held_out[part]), dtype=pl.Float64, eager=True)
    return pl.Series(np.mean([test.calibrated(seed)(seed[name]) for seed in arm.seeds], 0))
