"""Which ids have been met, in 28 bytes an id: ten million of them stay under 300 MB."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

_RUN = 1_000_000  # ids; longer runs are not merged any more, so that merging takes little memory

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


class Seen:
    """Ids by two hashes of 64 bits each; ids whose both hashes agree are taken for one."""

    def __init__(self) -> None:
        self.rows = 0  # ids met so far; each has the number in which it came
        self._runs: list[tuple[Hashes, NDArray[np.uint32]]] = []  # first hashes, sorted, and their rows
        self._second: Hashes = np.empty((0, 2), np.uint64)  # by row: second hash of the id, hash of the content

    def meet(self, ids: pl.Series, contents: Hashes) -> tuple[Rows, NDArray[np.bool_]]:
        """(the row in which each id was met first, whether its content is that row's); the row is -1 for a new id.

        New ids get the next rows in their order; one that comes twice among these is new only once.
        """
        keys = ids.hash(1).to_numpy()
        second = np.stack([ids.hash(2).to_numpy(), contents], axis=1)
        order = np.argsort(keys, kind="stable")
        begins = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))  # of each run of one key
        first = order[begins]
        known = self._find(keys[first], second[first, 0])
        new = known < 0
        fresh = np.sort(first[new])
        known[new] = self.rows + np.searchsorted(fresh, first[new])
        self._keep(keys[first[new]], known[new].astype(np.uint32), second[fresh])
        rows = np.empty(len(keys), np.int64)
        rows[order] = np.repeat(known, np.diff(begins, append=len(keys)))
        same = self._second[rows, 1] == contents
        rows[fresh] = -1
        return rows, same

    def _find(self, keys: Hashes, checks: Hashes) -> Rows:
        """The row that each of these sorted keys was met in, -1 for none."""
        found = np.full(len(keys), -1, np.int64)
        for run, rows in self._runs:
            at = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            met = np.flatnonzero(run[at] == keys)
            found[met] = rows[at[met]]
        met = np.flatnonzero(found >= 0)
        found[met[self._second[found[met], 0] != checks[met]]] = -1
        return found

    def _keep(self, keys: Hashes, rows: NDArray[np.uint32], second: Hashes) -> None:
        """Add sorted keys, merged with runs that are not longer, as carries go in a sum."""
        if self.rows + len(rows) > len(self._second):
            larger = np.empty((max(len(rows), len(self._second)) * 3 // 2 + len(rows), 2), np.uint64)
            larger[: self.rows] = self._second[: self.rows]
            self._second = larger
        self._second[self.rows : self.rows + len(rows)] = second
        self.rows += len(rows)
        while self._runs and len(self._runs[-1][0]) <= len(keys) < _RUN:
            last_keys, last_rows = self._runs.pop()
            keys, rows = np.concatenate([last_keys, keys]), np.concatenate([last_rows, rows])
            order = np.argsort(keys, kind="stable")
            keys, rows = keys[order], rows[order]
        if len(keys):
            self._runs.append((keys, rows))
