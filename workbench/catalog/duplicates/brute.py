"""The slow twin of the search: some listings against all others, without any hashing.

Texts are compared by the words they share, pictures by the correlation of their thumbnails, with all of the catalog;
what resembles one another is told by the same rules as what the search finds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.catalog.duplicates.bands import Ints
from workbench.catalog.duplicates.kin import same_pictures, shown_near, tell
from workbench.catalog.duplicates.looks import scores_of
from workbench.catalog.duplicates.pictures import Colours, Thumbs, closest, signed, small, usual
from workbench.catalog.duplicates.texts import SIMILAR, Texts

WINDOWS = (0, 2)  # as it is, and cut by a twentieth of each side
FIT, MOST = 0.9, 8  # least correlation of pictures that are looked at closer, and how many for each
NEARLY = 0.999  # sums of 32 bits are so exact at least; what is alike is told from those of 64
TEXTS_AT_ONCE, PICTURES_AT_ONCE = 32, 4096


@dataclass(frozen=True)
class Brute:
    """What some listings have in common with all."""

    pairs: pl.DataFrame  # left, right, kind, score, as in pairs.parquet
    texts: int  # pairs of texts compared
    pictures: int  # pairs of pictures compared


def brute(
    rows: Ints, facts: pl.DataFrame, texts: Texts, shown: pl.DataFrame, thumbs: Thumbs, colours: Colours
) -> Brute:
    """`rows` against all listings; `shown` has row, order, picture (a place in `thumbs`), look.

    A family is told by its pairs, of which one member may see too few: so those that are told alike in words are asked
    for theirs, too.
    """
    ours = shown.filter(pl.col("row").is_in(rows))["picture"].unique().sort().to_numpy().astype(np.int64)
    nears = shown_near(shown, _near_pictures(ours, thumbs, colours))

    def told(asked: Ints) -> pl.DataFrame:
        pairs = pl.concat([_alike_in_words(asked, texts), nears.select("left", "right")]).unique()
        sames = same_pictures(shown).join(pairs, on=["left", "right"], how="semi")
        found = tell(pairs, facts, texts, shown, sames, nears)
        return found.filter(pl.col("left").is_in(rows) | pl.col("right").is_in(rows))

    found = told(rows)
    in_words = found.filter(pl.col("kind").is_in(["near text", "near listing"]))
    members = np.union1d(rows, in_words.select("left", "right").to_numpy())
    if len(members) > len(rows):
        found = told(members)
    return Brute(found, len(members) * texts.count, len(ours) * len(thumbs))


def confirmed(
    pairs: pl.DataFrame, facts: pl.DataFrame, texts: Texts, shown: pl.DataFrame, thumbs: Thumbs, colours: Colours
) -> pl.DataFrame:
    """Those of the pairs left, right, kind that are kin by the data itself."""
    by_picture = pairs.filter(pl.col("kind").is_in(["near listing", "near picture"])).select("left", "right")
    lines = shown.select("row", "picture")
    every = by_picture.join(lines, left_on="left", right_on="row").join(lines, left_on="right", right_on="row")
    every = every.with_columns(a=pl.min_horizontal("picture", "picture_right"))
    every = every.with_columns(b=pl.max_horizontal("picture", "picture_right")).filter(pl.col("a") != pl.col("b"))
    a, b = every.select("a", "b").unique().cast(pl.Int64).to_numpy().T
    near = every.join(scored(thumbs, colours, a, b), left_on=["a", "b"], right_on=["left", "right"])
    nears = near.group_by("left", "right").agg(pl.col("score").max())
    kin = tell(pairs.select("left", "right"), facts, texts, shown, same_pictures(shown), nears)
    return pairs.join(kin, on=["left", "right"], how="semi")


def _alike_in_words(rows: Ints, texts: Texts) -> pl.DataFrame:
    """Pairs left < right with a similarity of about SIMILAR, or more."""
    total = (texts.words @ texts.nats).astype(np.float32)
    least = NEARLY * SIMILAR / (1 + SIMILAR) * np.where(total > 0, total, np.inf)  # in common, of each of two
    found = [np.zeros((2, 0), np.int64)]
    for start in range(0, len(rows), TEXTS_AT_ONCE):
        some = rows[start : start + TEXTS_AT_ONCE]
        weighted = texts.words[some]
        weighted.data = texts.nats[weighted.indices].astype(np.float32)
        common = texts.words @ weighted.T.toarray()
        b, place = np.divmod(np.flatnonzero(common - least[:, None] >= least[some]), len(some))
        a = some[place]
        found.append(np.stack([np.minimum(a, b), np.maximum(a, b)])[:, a != b])
    left, right = np.concatenate(found, axis=1)
    return pl.DataFrame({"left": left, "right": right}).cast(pl.UInt32)


def _near_pictures(ours: Ints, thumbs: Thumbs, colours: Colours) -> pl.DataFrame:
    """left, right, score of the pictures of all that fit `ours` best, and are near-duplicates."""
    asked = np.concatenate([_coarse(thumbs[ours], window) for window in WINDOWS])
    found = [np.zeros((3, 0))]
    for start in range(0, len(thumbs) if len(ours) else 0, PICTURES_AT_ONCE):
        fit = asked @ _coarse(thumbs[start : start + PICTURES_AT_ONCE], 0).T
        a, b = np.divmod(np.flatnonzero(fit >= FIT), fit.shape[1])
        found.append(np.stack([np.tile(ours, len(WINDOWS))[a], b + start, fit[a, b]]))
    best = pl.DataFrame(dict(zip(("a", "b", "fit"), np.concatenate(found, axis=1), strict=True)))
    best = best.filter(pl.col("a") != pl.col("b")).sort("fit", "a", "b", descending=[True, False, False])
    best = best.unique(["a", "b"], keep="first", maintain_order=True).filter(pl.int_range(pl.len()).over("a") < MOST)
    pairs = best.select(left=pl.min_horizontal("a", "b"), right=pl.max_horizontal("a", "b")).cast(pl.Int64).unique()
    left, right = pairs.sort("left", "right").to_numpy().T
    return scored(thumbs, colours, left, right)


def _coarse(thumbs: Thumbs, window: int) -> NDArray[np.float32]:
    """(N, 64): each 8x8, cut, of mean 0 and length 1."""
    return small(thumbs, window, 8).astype(np.float32)


def scored(thumbs: Thumbs, colours: Colours, left: Ints, right: Ints) -> pl.DataFrame:
    """left, right, score of the near-duplicates among pairs of pictures."""
    ends, at = np.unique(np.concatenate([left, right]), return_inverse=True)
    keys = signed(thumbs[ends], usual(thumbs))
    view, _ = closest(thumbs[ends], keys, *np.split(at, 2))
    table = pl.DataFrame({"left": left, "right": right, "score": scores_of(thumbs, colours, left, right, view)})
    return table.cast({"left": pl.UInt32, "right": pl.UInt32}).filter(pl.col("score") > 0)
