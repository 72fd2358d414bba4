"""Which ids have been met, in 28 bytes an id: ten million of them stay under 300 MB."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

_RECORD = np.dtype([("key", "u8"), ("check", "u8"), ("content", "u8"), ("row", "u4")])
_RUN = 1_000_000  # ids; longer runs are not merged any more, so that merging takes little memory

Records = NDArray[np.void]


class Seen:
    """Ids by two hashes of 64 bits each, in sorted runs; ids whose both hashes agree are taken for one."""

    def __init__(self) -> None:
        self.rows = 0  # ids met so far; each has the number in which it came
        self._runs: list[Records] = []

    def meet(self, ids: pl.Series, contents: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(the row in which each id was met first, whether its content is that row's); the row is -1 for a new id.

        New ids get the next rows in their order; one that comes twice among these is new only once.
        """
        records = np.zeros(len(ids), _RECORD)
        records["key"], records["check"] = (ids.hash(seed).to_numpy() for seed in (1, 2))
        records["content"] = contents
        _, first, inverse = np.unique(records["key"], return_index=True, return_inverse=True)
        known = self._find(records[first])
        new = known["row"] == _NONE
        fresh = np.sort(first[new])
        rows = records[first]
        rows["row"] = self.rows + np.searchsorted(fresh, first)
        met = np.where(new, rows, known)[inverse]
        self._keep(rows[new])
        self.rows += len(fresh)
        row = met["row"].astype(np.int64)
        row[fresh] = -1
        return row, met["content"] == contents

    def _find(self, records: Records) -> Records:
        """For each of the records, sorted by key, the one met before with its key and check; `_NONE` as row if none."""
        found = np.zeros(len(records), _RECORD)
        found["row"] = _NONE
        for run in self._runs:
            at = np.minimum(np.searchsorted(run["key"], records["key"]), len(run) - 1)
            same = (run["key"][at] == records["key"]) & (run["check"][at] == records["check"])
            found[same] = run[at[same]]
        return found

    def _keep(self, run: Records) -> None:
        """Add a sorted run, merged with those that are not longer, as carries go in a sum."""
        while self._runs and len(self._runs[-1]) <= len(run) < _RUN:
            both = np.concatenate([self._runs.pop(), run])
            run = both[np.argsort(both["key"], kind="stable")]
        if len(run):
            self._runs.append(run)


_NONE: Any = np.uint32(2**32 - 1)
