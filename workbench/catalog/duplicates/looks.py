"""The distinct pictures of a catalog, which of them are near-duplicates, and who shows them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.executor import Executor, Threads
from workbench.artifacts.store import Artifact
from workbench.catalog.duplicates.again import Ids, Search, read_search, search
from workbench.catalog.duplicates.bands import Bools, Few, Ints, Keys
from workbench.catalog.duplicates.clusters import components
from workbench.catalog.duplicates.overlay import SURE
from workbench.catalog.duplicates.pictures import (
    AT_ONCE,
    BANDS,
    CROWD,
    NEAREST,
    PLAIN,
    WINDOWS,
    Colours,
    Doubles,
    Thumbs,
    closest,
    likeness,
    nearest,
    score_pairs,
    signed,
    usual,
)
from workbench.catalog.duplicates.placeholders import is_plain

SIDE = 32
SHADES = 16  # levels of red, green and blue that are one colour of pictures without anything else
ONE_LOOK = 0.95  # score of near-duplicates that differ in size and compression, hardly more
MOST_JOINED, CLEAR = 50, 0.93  # looks that near-duplicates join; of more only clear ones: a plain picture fits many
SIGNED, FITTED = 4096, 4096  # pictures signed, pairs laid over one another roughly, in a piece: 4 and 10 MB
COMPARED = {"left": pl.UInt32, "right": pl.UInt32, "view": pl.UInt8, "fit": pl.Float32}


class Looks:
    """Pictures by number, in the order of their SHA-256; a look is a picture with its nearest duplicates."""

    near: pl.DataFrame  # left, right (pictures, left < right), score
    search: Search  # for next week's run
    mean: list[int]  # the usual picture's frequencies, on which the keys depend
    shown: pl.DataFrame  # row, order, picture, look (smallest picture of its near-duplicates), plain

    def __init__(self, index: Path, earlier: Artifact | None = None, executor: Executor | None = None) -> None:
        """`earlier`, a verified artifact of the Duplicates stage, saves what it holds of the same pictures."""
        self._states = pl.read_parquet(index, columns=["row", "order", "state", "reason"]).sort("row", "order")
        digests, thumbs, colours = distinct(index)
        self.count = len(digests)
        heads = digests.str.head(16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
        mean = usual(thumbs)
        self.mean = mean.astype(np.int64).ravel().tolist()
        known = earlier is not None and earlier.summary["usual_picture"] == self.mean
        before = read_search(earlier.folder, "picture", len(WINDOWS), BANDS) if earlier and known else None
        self.search = near_pictures(thumbs, colours, heads, mean, before, executor)
        near = self.search.pairs.filter(pl.col("score") > 0).select("left", "right", "score")
        label = _with_blanks(_joined(self.count, near.filter(pl.col("score") >= ONE_LOOK)), thumbs, colours)
        self.near = _without_crowds(near, label)
        pictures = pl.DataFrame({"sha256": digests, "look": label.astype(np.uint32)})
        present = pl.scan_parquet(index).filter(pl.col("state") == "present")
        lines = present.select("row", "order", "sha256").collect()
        self.shown = (
            lines.join(pictures.with_row_index("picture"), on="sha256", how="left").drop("sha256").sort("row", "order")
        )
        shared = self.shown.filter(pl.len().over("look") > 1)["picture"].unique().sort()
        plain = np.zeros(self.count, np.bool_)
        plain[shared] = is_plain(thumbs[shared])
        self.shown = self.shown.with_columns(plain=pl.Series(plain[self.shown["picture"]], dtype=pl.Boolean))

    def states(self, blank: pl.DataFrame) -> pl.DataFrame:
        """row, order, state, reason of every picture, those of the looks in `blank` being placeholders."""
        why = pl.format("the same picture on {} listings of {} unrelated product groups", "listings", "groups")
        found = self.shown.join(blank.with_columns(why.alias("why")), on="look").select("row", "order", "why")
        joined = self._states.join(found, on=["row", "order"], how="left", maintain_order="left")
        return joined.select(
            "row",
            "order",
            pl.when(pl.col("why").is_null()).then("state").otherwise(pl.lit("placeholder")).alias("state"),
            pl.coalesce("why", "reason").alias("reason"),
        )

    def without(self, blank: pl.DataFrame) -> pl.DataFrame:
        """`shown` without the placeholders."""
        return self.shown.join(blank, on="look", how="anti", maintain_order="left")


def distinct(index: Path) -> tuple[pl.Series, Thumbs, Colours]:
    """SHA-256 of each distinct picture, ascending, its thumbnail and its colours."""
    present = pl.scan_parquet(index).filter(pl.col("state") == "present").select("sha256", "thumb", "colours")
    first = present.filter(pl.col("sha256").is_first_distinct()).sort("sha256").collect()
    thumbs, colours = (_bytes(first[name], *shape) for name, shape in (("thumb", (SIDE, SIDE)), ("colours", (8, 8, 3))))
    return first["sha256"], thumbs, colours


def _bytes(cells: pl.Series, *shape: int) -> NDArray[np.uint8]:
    """(N, *shape)"""
    each = pl.Array(pl.UInt8, int(np.prod(shape)))
    return cells.bin.reinterpret(dtype=each).to_numpy().reshape(-1, *shape)


def _joined(count: int, pairs: pl.DataFrame) -> Ints:
    """(count,) the smallest picture that each is connected with."""
    return components(count, *(pairs[side].to_numpy().astype(np.int64) for side in ("left", "right")))


def _with_blanks(look: Ints, thumbs: Thumbs, colours: Colours) -> Ints:
    """Pictures of one colour have one look, though there is nothing to compare in them."""
    blank = np.flatnonzero(np.ptp(thumbs.reshape(-1, SIDE * SIDE), axis=1) < PLAIN)
    shades = colours[blank].mean(axis=(1, 2)) // SHADES
    _, first, same = np.unique(shades, axis=0, return_index=True, return_inverse=True)
    look[blank] = blank[first[same.ravel()]]
    return look


def _without_crowds(near: pl.DataFrame, look: Ints) -> pl.DataFrame:
    """Where near-duplicates join very many looks, those less clear tell something only of listings alike in text."""
    label = _joined(len(look), near.filter(pl.col("score") >= SURE))
    looks = np.bincount(label[np.unique(look)], minlength=len(look))
    crowd = pl.Series(looks[label[near["left"].to_numpy()]] > MOST_JOINED)
    unsure = pl.when(crowd & pl.col("score").is_between(SURE, CLEAR, closed="left")).then(SURE - 0.01)
    return near.with_columns(unsure.otherwise("score").alias("score"))


def near_pictures(
    thumbs: Thumbs,
    colours: Colours,
    things: Ids,
    mean: Doubles,
    earlier: Search | None,
    executor: Executor | None = None,
) -> Search:
    """The nearest pairs that resemble one another, with their score; what an earlier run found is taken over."""
    executor = executor or Threads()

    def sign(some: Ints) -> Keys:
        keys, starts = np.zeros((len(some), len(WINDOWS), BANDS), np.uint32), range(0, len(some), SIGNED)
        pieces = (thumbs[some[start : start + SIGNED]] for start in starts)
        for start, part in zip(starts, executor.in_order(partial(signed, usual=mean), pieces), strict=True):
            keys[start : start + SIGNED] = part
        return keys

    def fitted(keys: Keys, left: Ints, right: Ints) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        pieces = ((thumbs[ends], keys[ends], *pair) for ends, pair in _pieces(left, right, FITTED))
        none = np.zeros(0, np.uint8), np.zeros(0, np.float32)
        view, fit = map(np.concatenate, zip(none, *executor.in_order(_closest, pieces), strict=True))
        return view, fit

    def among(keys: Keys, left: Ints, right: Ints) -> Bools:
        fit = fitted(keys, left, right)[1]
        return nearest(len(things), left, right, fit) & (fit > 0)

    def few(keys: Keys) -> Few:
        return Few(NEAREST, partial(among, keys))

    keys, known, left, right = search(things, sign, partial(likeness, thumbs), CROWD, earlier, executor, few)
    view, fit = fitted(keys, left, right)
    found = pl.DataFrame({"left": left, "right": right, "view": view, "fit": fit}, COMPARED)
    found = found.filter(pl.col("fit") > 0).with_columns(score=pl.lit(None, pl.Float64))
    if known is not None:
        found = pl.concat([known.cast(found.schema), found])
    found = found.sort("left", "right")
    pairs = found.filter(nearest(len(things), *(found[name].to_numpy() for name in ("left", "right", "fit"))))
    new = pairs["score"].is_null().arg_true()
    left, right, view, _ = (pairs[name].gather(new).to_numpy() for name in COMPARED)
    scores = scores_of(thumbs, colours, left, right, view, executor)
    return Search(things, keys, pairs.with_columns(score=pairs["score"].scatter(new, scores)))


def scores_of(
    thumbs: Thumbs,
    colours: Colours,
    left: Ints,
    right: Ints,
    view: NDArray[np.uint8],
    executor: Executor | None = None,
) -> Doubles:
    """(P,) as `score_pairs`, some pairs at a time."""
    pieces = (
        (thumbs[ends], colours[ends], *pair, view[start : start + AT_ONCE])
        for start, (ends, pair) in zip(range(0, len(left), AT_ONCE), _pieces(left, right, AT_ONCE), strict=True)
    )
    return np.concatenate([np.zeros(0), *(executor or Threads()).in_order(_scores, pieces)])


def _pieces(left: Ints, right: Ints, size: int) -> Iterator[tuple[Ints, tuple[Ints, Ints]]]:
    """So many pairs at a time: the pictures at their ends, and each pair by numbers of these."""
    for start in range(0, len(left), size):
        pairs = np.stack([left[start : start + size], right[start : start + size]])
        ends, (of_left, of_right) = np.unique(pairs, return_inverse=True)
        yield ends, (of_left, of_right)


def _closest(piece: tuple[Thumbs, Keys, Ints, Ints]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return closest(*piece)


def _scores(piece: tuple[Thumbs, Colours, Ints, Ints, NDArray[np.uint8]]) -> Doubles:
    return score_pairs(*piece)
