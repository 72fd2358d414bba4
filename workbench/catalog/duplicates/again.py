"""What next week's run takes over: the signatures of things, known by their content, and the pairs found among them.

What is taken over is what would be found anew: keys depend on a thing alone, and `bands.candidates` asks again which of
the pairs are candidates still, and looks for those that involve something new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.executor import Executor
from workbench.catalog.duplicates.bands import Bools, Few, Ints, Keys, Seen, candidates

Ids = NDArray[np.uint64]


@dataclass(frozen=True)
class Search:
    """Things and the candidates among them: what an artifact keeps in two files."""

    things: Ids  # (N,) ascending
    keys: Keys  # (N, views, bands)
    pairs: pl.DataFrame  # left, right (numbers of things, left < right; ascending), what is known of them

    def write(self, folder: Path, kind: str) -> None:
        """`kind`_keys.parquet (thing, keys) and `kind`_pairs.parquet."""
        keys = pl.Series("keys", self.keys.reshape(len(self.things), self.keys[:1].size or 1)[: len(self.things)])
        table = pl.DataFrame({"thing": self.things}).with_columns(keys)
        table.write_parquet(folder / f"{kind}_keys.parquet", compression="uncompressed")  # of chance there is no less
        self.pairs.rechunk().write_parquet(folder / f"{kind}_pairs.parquet")


def read_search(folder: Path, kind: str, views: int, bands: int) -> Search:
    """What `Search.write` wrote."""
    table = pl.read_parquet(folder / f"{kind}_keys.parquet")
    keys = table["keys"].to_numpy() if table.height else np.zeros(0, np.uint32)
    return Search(
        table["thing"].to_numpy(), keys.reshape(-1, views, bands), pl.read_parquet(folder / f"{kind}_pairs.parquet")
    )


def search(
    things: Ids,
    sign: Callable[[Ints], Keys],
    likeness: Callable[[Keys], Callable[[Ints, Ints, int], Bools]],
    crowd: int,
    earlier: Search | None,
    executor: Executor,
    few: Callable[[Keys], Few] | None = None,
) -> tuple[Keys, pl.DataFrame | None, Ints, Ints]:
    """The keys of `things` (ascending); what an earlier search knows of today's candidates; the other candidates.

    `sign` makes the keys of some of the things, `likeness` tells from all keys which pairs are worth a closer look, and
    `few` which are the closest.
    """
    if earlier is None or not len(earlier.things) or not len(things):
        keys = sign(np.arange(len(things)))
        return keys, None, *candidates(keys, crowd, likeness(keys), None, executor, few and few(keys))[1:]
    place = np.searchsorted(things, earlier.things).clip(max=len(things) - 1)
    now = np.where(things[place] == earlier.things, place, -1)
    here = now >= 0
    keys = np.zeros((len(things), *earlier.keys.shape[1:]), np.uint32)
    keys[now[here]] = earlier.keys[here]
    new = np.delete(np.arange(len(things)), now[here])
    keys[new] = sign(new)
    ends = [pl.Series(side, now[earlier.pairs[side].to_numpy()]) for side in ("left", "right")]
    pairs = earlier.pairs.with_columns(ends)
    seen = Seen(earlier.keys, now, pairs["left"].to_numpy(), pairs["right"].to_numpy())
    still, left, right = candidates(keys, crowd, likeness(keys), seen, executor, few and few(keys))
    return keys, pairs.filter(still), left, right
