"""Placeholders: one picture on many unrelated products ("no image available", a logo), against a range photo.

A picture that many listings share is a range photo where these belong together: their titles have words in common
that are rare elsewhere, or they share a label. It is a placeholder where they have no more in common than listings
drawn at random. A plain picture (little else than one grey) is believed to be one at less.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.catalog.duplicates.texts import Texts

LEAST, LEAST_PLAIN = 4, 3  # product groups that show the very same picture
ALIKE, MOST = 0.2, 40  # mean similarity of a range's texts, taken over so many listings
SHARED = 0.5  # of a range's groups have a telling word in common
PLAIN = 0.6  # share of a thumbnail's places in its commonest grey (of 16)


def placeholders(shown: pl.DataFrame, texts: Texts, groups: pl.Series, labels: pl.DataFrame) -> pl.DataFrame:
    """Of the looks in `shown` (row, look, plain), those that are placeholders: look, listings, groups.

    `groups` is each row's product group, `labels` its labels. A look is a picture and its near-duplicates.
    """
    listings = shown.select("row", "picture", "look", "plain").unique(maintain_order=True)
    listings = listings.with_columns(group=groups.gather(listings["row"]))
    same = pl.col("group").n_unique().over("picture").alias("same")  # groups with the very same bytes
    listings = listings.with_columns(same)
    sizes = listings.group_by("look", maintain_order=True).agg(
        pl.len().alias("listings"),
        pl.col("group").n_unique().alias("groups"),
        pl.col("plain").mean() > 0.5,
        pl.col("same").max(),
    )
    least = pl.when("plain").then(LEAST_PLAIN).otherwise(LEAST)
    many = sizes.filter(pl.col("same") >= least)
    heads = listings.join(many.select("look"), on="look", how="semi", maintain_order="left")
    heads = heads.unique(["look", "group"], keep="first", maintain_order=True)  # a group speaks once
    related = [
        _related(texts, labels, rows["row"].to_numpy().astype(np.int64))
        for _, rows in heads.group_by("look", maintain_order=True)
    ]
    order = heads["look"].unique(maintain_order=True)
    verdicts = pl.DataFrame({"look": order, "related": related}, {"look": order.dtype, "related": pl.Boolean})
    found = many.join(verdicts, on="look", how="left", maintain_order="left")
    return found.filter(~pl.col("related")).select("look", "listings", "groups")


def is_plain(thumbs: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(N,) whether one grey (of 16) fills most of each thumbnail (N, 32, 32)."""
    greys = thumbs.reshape(len(thumbs), 32 * 32) >> 4
    most = np.zeros(len(thumbs))
    for grey in range(16):
        most = np.maximum(most, (greys == grey).mean(axis=1))
    plain: NDArray[np.bool_] = most >= PLAIN
    return plain


def _related(texts: Texts, labels: pl.DataFrame, rows: NDArray[np.int64]) -> bool:
    """Whether listings of different groups belong to one range.

    Their texts are alike; or half of their titles have a word that is five times as common among them as elsewhere,
    and such words hold 4 nats in common, or all have a label that fewer than one listing in twenty has.
    """
    rows = rows[:MOST]
    left, right = np.triu_indices(len(rows), 1)
    like = texts.compare(rows[left], rows[right])
    if max(like.titles.mean(), like.words.mean()) >= ALIKE:
        return True
    words = texts.titles[rows]
    here = np.asarray(words.sum(axis=0)).ravel() / len(rows)
    everywhere = np.exp(-texts.nats)
    telling = (here >= SHARED) & (here > 5 * everywhere)
    nats = float((here * texts.nats)[telling].sum())
    if telling.any() and nats >= 4:
        return True
    return any(_one_rare_value(labels[name], rows) and telling.any() for name in labels.columns)


def _one_rare_value(label: pl.Series, rows: NDArray[np.int64]) -> bool:
    values = label.gather(rows)
    return values.n_unique() == 1 and values[0] is not None and (label == values[0]).sum() < len(label) / 20
