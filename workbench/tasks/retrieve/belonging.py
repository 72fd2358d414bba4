"""Which listings belong to which query: those of its product that stand on another side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench.errors import DataError
from workbench.recipe.schema import Retrieve
from workbench.tasks.match.pairs import Pairs, read_pairs
from workbench.tasks.products import products_of

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Belonging:
    """By row of the catalog. A listing's own side is never asked, so that it is no answer to itself."""

    product_N: Ints  # number of what listings have in common that belong together; 0: nothing is known of it
    side_N: Ints  # number of its feed, or its value of the label that is asked across; else its own row

    def answers(self, queries_q: Ints, gallery_g: Ints) -> Bools:
        """(q, g) which rows of a gallery belong to which queries."""
        alike: Bools = self.product_N[queries_q][:, None] == self.product_N[gallery_g]
        return alike & ~self.barred(queries_q, gallery_g)

    def barred(self, queries_q: Ints, gallery_g: Ints) -> Bools:
        """(q, g) which are no answers, right or wrong: they are on the query's side."""
        barred: Bools = self.side_N[queries_q][:, None] == self.side_N[gallery_g]
        return barred

    def known(self, rows: Ints) -> Ints:
        """Those of these rows of which it is known what belongs to them."""
        return rows[self.product_N[rows] > 0]

    def answerable(self, rows: Ints) -> Ints:
        """Those to which another of them belongs."""
        known = self.known(rows)
        table = pl.DataFrame({"product": self.product_N[known], "side": self.side_N[known]})
        sides = table.select(pl.col("side").n_unique().over("product"))["side"].to_numpy()
        return known[sides > 1]


def read_belonging(items: pl.DataFrame, section: Retrieve) -> tuple[Belonging, pl.DataFrame | None]:
    """As the recipe says; and the pairs that were not used, where it names a file of pairs.

    Raises DataError for a file of pairs that can't be read and a label that no feed has, RecipeError for another `by`.
    """
    dropped = None
    if section.pairs:
        pairs, dropped = read_pairs(section.pairs, items)
        product_N = _joined(pairs, items.height)
    else:
        products = products_of(items, section.by, "finetune.retrieve.by")
        product_N = products.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    if section.across is None:
        return Belonging(product_N, np.arange(items.height)), dropped
    column = "feed" if section.across == "feed" else f"label.{section.across}"
    if column not in items.columns:
        known = ", ".join(["feed", *(c.removeprefix("label.") for c in items.columns if c.startswith("label."))])
        raise DataError(f"finetune.retrieve.across: no feed has a label {section.across!r}; expected one of {known}")
    side_N = items[column].rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return Belonging(np.where(side_N > 0, product_N, 0), side_N), dropped


def _joined(pairs: Pairs, count: int) -> Ints:
    """(N,) listings that match, directly or by way of others, have one number; 0: in no pair that does."""
    left, right = pairs.rows[pairs.match].T
    _, number = connected_components(coo_array((np.ones(len(left), bool), (left, right)), shape=(count, count)), False)
    paired = np.zeros(count, bool)
    paired[left] = paired[right] = True
    return np.where(paired, number.astype(np.int64) + 1, 0)
