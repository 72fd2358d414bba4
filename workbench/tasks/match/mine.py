"""Pairs mined from the catalog: matches among the listings of a product, others among those that look alike.

Hard negatives are found by blocking: of each listing in a match those nearest by their words (TF-IDF) and those nearest
by their picture (its coarse coloured thumbnail), in turns. Listings of one component of the split may be one product
unbeknown to `mine.by`, so they are never told to be two. All lies within a part, and nothing is drawn at random but
which listings of a large product are matched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from workbench.artifacts.store import Artifact
from workbench.draws import LABELS, stream
from workbench.errors import DataError
from workbench.evaluate.intervals import Ints
from workbench.images.phash import COLOUR_SIDE
from workbench.recipe.schema import Mine
from workbench.tasks.match.pairs import Pairs
from workbench.tasks.products import products_of

PARTS = ("train", "valid", "test")
KEY = "finetune.match.mine.by"
CELLS = 4_000_000  # cosines that are in memory at once
MOST = 20_000  # listings of a part whose nearest are looked for
COMMON = 10_000  # a word in more listings than that tells too little for its work
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")  # one of Chinese is a sign


@dataclass(frozen=True)
class Facts:
    """What pairs are mined from, by row of the catalog."""

    items: pl.DataFrame  # with `part`
    component: Ints  # (N,) of the split
    colours: NDArray[np.uint8]  # (N, 192) a coarse picture, zeros without a usable one

    @classmethod
    def of(cls, items: pl.DataFrame, inputs: Mapping[str, Artifact]) -> Facts:
        component = pl.read_parquet(inputs["split"].path("split.parquet"), columns=["component"])["component"]
        final = pl.read_parquet(inputs["duplicates"].path("pictures.parquet"), columns=["row", "order", "state"])
        looks = pl.read_parquet(inputs["images"].path("index.parquet"), columns=["row", "order", "colours"])
        usable = final.filter(pl.col("state") == "present").join(looks, on=["row", "order"]).sort("row", "order")
        first = usable.filter(pl.col("colours").is_not_null()).unique("row", keep="first", maintain_order=True)
        colours = np.zeros((items.height, 3 * COLOUR_SIDE**2), np.uint8)
        shown = np.frombuffer(b"".join(first["colours"].to_list()), np.uint8)
        colours[first["row"].to_numpy()] = shown.reshape(len(first), -1) if len(first) else 0
        return cls(items, component.to_numpy().astype(np.int64), colours)


def mine(facts: Facts, section: Mine) -> tuple[Pairs, dict[str, Any]]:
    """The pairs by part, matches first, and what is told of them.

    Raises DataError where no two listings of the train part are one product, RecipeError for an unknown `by`.
    """
    products = products_of(facts.items, section.by, KEY)
    numbers = products.rank("dense").fill_null(0).to_numpy().astype(np.int64)  # 0: unknown
    found: list[Pairs] = []
    told: dict[str, Any] = {"by": section.by, "left_out": 0}
    for part in PARTS:
        rows = np.flatnonzero((facts.items["part"].eq_missing(part) & products.is_not_null()).to_numpy())
        matches, left_out = _matches(rows, numbers, section.most)
        others = _others(facts, rows, numbers, matches, section.negatives)
        told["left_out"] += left_out
        told[part] = {
            "products": len(np.unique(numbers[matches[:, 0]])),
            "wanted": round(section.negatives * len(matches)),
        }
        match = np.arange(len(matches) + len(others)) < len(matches)
        found.append(Pairs(np.concatenate([matches, others]), match, np.full(len(match), part)))
    if not found[0].match.any():
        raise DataError(
            f"finetune.match: no two listings of the train part have the same {section.by}, so there are no matches to "
            f"learn from; give {KEY} what listings of one product share (group, code, or a label), name its column in "
            "catalog.feeds.columns, or give finetune.match.pairs"
        )
    whole = (np.concatenate([getattr(p, name) for p in found]) for name in ("rows", "match", "part"))
    return Pairs(*whole), told


def _matches(rows: Ints, numbers: Ints, most: int) -> tuple[Ints, int]:
    """(n, 2) pairs of listings of one product, and how many more there are."""
    order = rows[np.argsort(numbers[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    of_product = [listings for listings in np.split(order, starts[1:]) if len(listings) > 1]
    count = sum(len(listings) * (len(listings) - 1) // 2 for listings in of_product)
    pairs = np.array([*chain.from_iterable(_pairs(listings, most) for listings in of_product)], np.int64).reshape(-1, 2)
    return pairs, count - len(pairs)


def _pairs(listings: Ints, most: int) -> Iterator[tuple[int, int]]:
    """All, or as many as `most`, each listing in one before any is in three."""
    count = len(listings)
    if count * (count - 1) // 2 > most:
        listings = stream(0, LABELS, row=int(listings[0])).permutation(listings)
    every = ((listings[i], listings[i + step]) for step in range(1, count) for i in range(count - step))
    return ((min(pair), max(pair)) for pair in islice(every, most))


def _others(facts: Facts, rows: Ints, numbers: Ints, matches: Ints, negatives: float) -> Ints:
    """(n, 2) pairs of different products that are alike, the nearest first."""
    anchors, wanted = np.unique(matches), round(negatives * len(matches))
    if not wanted:
        return np.zeros((0, 2), np.int64)
    anchors = anchors[:: -(-len(anchors) // MOST)]
    depth = math.ceil(2 * wanted / len(anchors)) + 2
    kin = np.stack([numbers, facts.component])
    by_words = nearest(words(facts.items, rows), rows, anchors, kin, depth)
    by_looks = nearest(looks(facts.colours[rows]), rows, anchors, kin, depth)
    turns = [chain.from_iterable(zip_longest(*both)) for both in zip(by_words, by_looks, strict=True)]
    found = ((a, b) for rank in zip_longest(*turns) for a, b in zip(anchors, rank, strict=True) if b is not None)
    pairs = dict.fromkeys((min(pair), max(pair)) for pair in found)
    return np.array([*islice(pairs, wanted)], np.int64).reshape(-1, 2)


def nearest(vectors: Any, rows: Ints, anchors: Ints, kin: Ints, depth: int) -> Iterator[list[int]]:
    """Of each anchor at most `depth` rows, the nearest by cosine above 0 that share none of its `kin` numbers (kinds,
    N); of equally near ones the first. `vectors`, sparse or not, are of `rows` (ascending), each of length 1 or 0."""
    places, at_once = np.searchsorted(rows, anchors), max(1, CELLS // max(1, len(rows)))
    for start in range(0, len(anchors), at_once):
        some = places[start : start + at_once]
        product = vectors[some] @ vectors.T
        cosines = np.round(np.asarray(product.todense() if sp.issparse(product) else product, np.float32), 5)
        for number in kin[:, rows]:
            cosines[number[some][:, None] == number] = 0
        kept = min(depth, len(rows))
        least = np.partition(cosines, len(rows) - kept, axis=1)[:, len(rows) - kept]
        for of_anchor, bound in zip(cosines, least, strict=True):
            near = np.flatnonzero((of_anchor >= bound) & (of_anchor > 0))
            yield rows[near[np.argsort(-of_anchor[near], kind="stable")][:kept]].tolist()


def words(items: pl.DataFrame, rows: Ints) -> sp.csr_matrix:
    """(n, words) of length 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    columns = [name for name in items.columns if name == "title" or name.startswith("text.")]
    texts = items[rows].select(pl.concat_str(columns, separator=" ", ignore_nulls=True))[:, 0].to_list()
    tfidf = TfidfVectorizer(sublinear_tf=True, token_pattern=_WORDS.pattern, max_df=COMMON, dtype=np.float32)
    try:
        return sp.csr_matrix(tfidf.fit_transform(texts))
    except ValueError:  # no words at all
        return sp.csr_matrix((len(rows), 1), dtype=np.float32)


def looks(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 192) the picture around its mean colour, of length 1; zeros where it is flat or there is none."""
    centred = colours.astype(np.float32).reshape(len(colours), -1, 3)
    centred -= centred.mean(1, keepdims=True)
    flat = centred.reshape(len(colours), -1)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
