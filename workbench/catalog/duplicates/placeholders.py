"""Placeholders: one picture on many unrelated products ("no image available", a logo), against a range photo.

A picture that many listings share is a range photo where these belong together: their texts are alike, or most have a
mark in common, a word of the title or a label, that is rare elsewhere. It is a placeholder where they have no more in
common than listings drawn at random. Few groups suffice if they show the very same bytes, fewer yet if the picture is
plain (little else than one grey); a picture saved anew for each product must look the same on more of them.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from scipy.special import gammaln

from workbench.catalog.duplicates.texts import Texts

LEAST_PLAIN, LEAST, LEAST_NEAR = 3, 4, 6  # product groups: of the same plain bytes, the same bytes, the same look
ALIKE, USUAL, SAMPLE = 0.2, 0.2, 40  # a range's texts are so much more alike than others (of which at most USUAL)
SHARED, FEW, RARE = 0.6, 4, 0.05  # share of a range with one mark; so few all have it; share of the others with it
EVIDENCE, EVIDENCE_EACH = 7.0, 1.5  # nats, that a shared mark is no chance; of few groups so much for each further one
PLAIN = 0.6  # share of a thumbnail's places in its commonest grey (of 16)

Ints = NDArray[np.int64]


def placeholders(shown: pl.DataFrame, texts: Texts, groups: pl.Series, labels: pl.DataFrame) -> pl.DataFrame:
    """Of the looks in `shown` (row, picture, look, plain), those that are placeholders: look, listings, groups.

    `groups` is each row's product group, `labels` its labels. A look is a picture and its near-duplicates.
    """
    listings = shown.select("row", "picture", "look", "plain").unique(maintain_order=True)
    listings = listings.with_columns(group=groups.gather(listings["row"]))
    same = pl.col("group").n_unique().over("picture").alias("same")  # groups with the very same bytes
    sizes = (
        listings.with_columns(same)
        .group_by("look", maintain_order=True)
        .agg(pl.len().alias("listings"), pl.col("group").n_unique().alias("groups"), pl.col("plain", "same").max())
    )
    least = pl.when("plain").then(LEAST_PLAIN).otherwise(LEAST)
    many = sizes.filter((pl.col("same") >= least) | (pl.col("groups") >= LEAST_NEAR))
    heads = listings.join(many.select("look"), on="look", how="semi", maintain_order="left")
    heads = heads.unique(["look", "group"], keep="first", maintain_order=True)  # a group speaks once
    rows = heads.group_by("look", maintain_order=True).agg("row")
    related = _Ranges(texts, labels) if len(rows) else None
    blank = [look for look, members in rows.iter_rows() if related and not related(np.array(members, np.int64))]
    return many.filter(pl.col("look").is_in(blank)).select("look", "listings", "groups")


def is_plain(thumbs: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(N,) whether one grey (of 16) fills most of each thumbnail (N, 32, 32)."""
    greys = thumbs.reshape(len(thumbs), 32 * 32) >> 4
    most = np.zeros(len(thumbs))
    for grey in range(16):
        most = np.maximum(most, (greys == grey).mean(axis=1))
    plain: NDArray[np.bool_] = most >= PLAIN
    return plain


class _Ranges:
    """Tells whether listings of different groups belong to one range."""

    def __init__(self, texts: Texts, labels: pl.DataFrame) -> None:
        self._texts = texts
        self._marks = hstack([texts.titles, *(_values(label) for label in labels)], format="csr")
        self._listings = np.asarray(self._marks.sum(axis=0)).ravel()  # that have each mark
        self._usual = min(self._likeness(np.unique(np.linspace(0, texts.count - 1, SAMPLE).astype(np.int64))), USUAL)

    def __call__(self, rows: Ints) -> bool:
        return self._likeness(rows[:SAMPLE]) >= ALIKE + self._usual or self._marked(rows)

    def _likeness(self, rows: Ints) -> float:
        """Mean similarity of the titles, or of all words."""
        if len(rows) < 2:
            return 0.0
        left, right = np.triu_indices(len(rows), 1)
        like = self._texts.compare(rows[left], rows[right])
        return float(max(like.titles.mean(), like.words.mean()))

    def _marked(self, rows: Ints) -> bool:
        """Whether one mark is more common among the rows than chance would have it.

        Of n rows k have a mark by chance about with C(n, k) p**k, p being its share of all others; and there are as
        many marks of such a share as make up for one of the k.
        """
        count = len(rows)
        here = np.asarray(self._marks[rows].sum(axis=0)).ravel()
        often = np.flatnonzero(here >= max(SHARED * count, min(count, FEW)))
        k = here[often]
        share = (self._listings[often] - k + 1) / (self._texts.count - count + 1)
        ways = gammaln(count + 1) - gammaln(k + 1) - gammaln(count - k + 1)
        evidence = (k - 1) * -np.log(share) - ways - 2
        rare = (share <= RARE) | (count <= FEW)
        return bool((rare & (evidence >= min(EVIDENCE, EVIDENCE_EACH * (count - 1)))).any())


def _values(label: pl.Series) -> csr_array:
    """(N, values): which value each listing has."""
    values = label.rank("dense").to_numpy().astype(np.float64)  # from 1, nan for none
    rows = np.flatnonzero(~np.isnan(values))
    columns = values[rows].astype(np.int64) - 1
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(label), label.n_unique()))
