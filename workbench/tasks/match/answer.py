"""What a pair's log odds mean, as `answers.json` tells; no torch here.

calibration   scale and shift, fitted on the valid pairs: probability = 1 / (1 + exp(-(scale * log odds + shift)))
precision     the one that is wanted
threshold     the probability from which on the valid pairs reach it; null: none does
clusters      the same of all candidates in the valid part, among which fewer match; null: none does
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.evaluate.calibrate import Platt


def probability(told: Mapping[str, Any], log_odds_n: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) calibrated probabilities that two listings are one product."""
    return Platt(**told["calibration"])(log_odds_n)


def table(told: Mapping[str, Any], log_odds_n: NDArray[Any]) -> pl.DataFrame:
    """probability, match (whether it reaches the threshold; 1/2 where none reached the wanted precision)."""
    found = probability(told, log_odds_n)
    least = 0.5 if told["threshold"] is None else told["threshold"]
    return pl.DataFrame({"probability": found, "match": found >= least})
