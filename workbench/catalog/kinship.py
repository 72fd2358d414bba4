"""What connects listings: product group, GTIN, and the pairs of the Duplicates stage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.store import Artifact
from workbench.catalog.codes import valid_codes
from workbench.catalog.duplicates.clusters import components

Ints = NDArray[np.int64]


class Kinship:
    """The kin of N listings. `component` (N,) holds the smallest row of each listing's component."""

    def __init__(self, items: pl.DataFrame, duplicates: Artifact, actions: Mapping[str, str]) -> None:
        """`actions` says of each kind of pair (`near_text`) what is done with it; what is ignored doesn't join."""
        self.count = items.height
        self.keys = {"product group": items["group"], "code": valid_codes(items["code"])}
        pairs = pl.read_parquet(duplicates.path("pairs.parquet"))
        joining = [kind.replace("_", " ") for kind, action in actions.items() if action in ("join", "keep one")]
        self.pairs = pairs.filter(pl.col("kind").is_in(joining))
        clusters = pl.read_parquet(duplicates.path("clusters.parquet"))
        self.keep = clusters["keep"]
        kept = clusters.with_columns(pl.col("row").filter("keep").first().over("cluster").alias("kept"))["kept"]
        self.copy_of = items["id"].gather(kept)
        self.component = components(self.count, *self._ends())

    def _ends(self) -> tuple[Ints, Ints]:
        lefts, rights = [], []
        for values in self.keys.values():
            star = pl.DataFrame({"key": values}).with_row_index("row").filter(pl.col("key").is_not_null())
            star = star.with_columns(first=pl.col("row").min().over("key")).filter(pl.col("first") != pl.col("row"))
            lefts.append(star["first"])
            rights.append(star["row"])
        lefts.append(self.pairs["left"])
        rights.append(self.pairs["right"])
        return tuple(np.concatenate([s.to_numpy().astype(np.int64) for s in side]) for side in (lefts, rights))  # type: ignore[return-value]

    def crossing(self, part: pl.Series) -> dict[str, dict[str, int]]:
        """Of each kind: the pairs of listings that have a part, and how many of these lie in two."""
        found = {}
        for kind, values in self.keys.items():
            lines = pl.DataFrame({"key": values, "part": part}).drop_nulls()
            inside = lines.group_by("key", "part").len()
            every, within = (_pairs(t["len"]) for t in (inside.group_by("key").agg(pl.col("len").sum()), inside))
            found[kind] = {"pairs": every, "cross": every - within}
        for (kind,), pairs in self.pairs.sort("kind").group_by("kind", maintain_order=True):
            left, right = part.gather(pairs["left"]), part.gather(pairs["right"])
            found[str(kind)] = {
                "pairs": int((left.is_not_null() & right.is_not_null()).sum()),
                "cross": int((left != right).sum()),
            }
        return found

    def of_largest(self) -> dict[str, int]:
        """Kinds of the pairs of the largest component, the most frequent first."""
        largest = np.bincount(self.component, minlength=1).argmax()
        inside = pl.Series(self.component == largest)
        kinds = {k: _pairs(v.filter(inside).drop_nulls().value_counts()["count"]) for k, v in self.keys.items()}
        ours = self.pairs.filter(inside.gather(self.pairs["left"]))
        kinds |= dict(ours["kind"].value_counts().iter_rows())
        return dict(sorted(((k, n) for k, n in kinds.items() if n), key=lambda pair: -pair[1]))


def _pairs(sizes: pl.Series) -> int:
    return int((sizes.cast(pl.Int64) * (sizes.cast(pl.Int64) - 1) // 2).sum())
