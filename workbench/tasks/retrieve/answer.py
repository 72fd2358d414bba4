"""What the numbers of the retrieve head mean to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


def table(told: Mapping[str, Any], points_nD: NDArray[np.float32]) -> pl.DataFrame:
    """(n,) each listing's point, of length 1: queries and listings with a high cosine belong together."""
    return pl.DataFrame({"point": pl.Series(points_nD, dtype=pl.Array(pl.Float32, points_nD.shape[1]))})
