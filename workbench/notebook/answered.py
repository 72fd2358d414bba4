"""What a model told: tables, and how they look in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.answers.index import POINT, THUMBNAIL
from workbench.notebook import show
from workbench.notebook.ask import Told
from workbench.notebook.show import Card

if TYPE_CHECKING:
    from workbench.answers.index import Index
    from workbench.answers.listing import Listing

OWN = ("id", "title", "picture")
Row = Mapping[str, Any]


class _Answered:
    """`table`: a line for each answer; `drops`: rows of the feed without one, with their reason."""

    def __init__(self, told: Told) -> None:
        self.table, self.drops, self._listings = told.table, told.drops, told.listings

    def __len__(self) -> int:
        return self.table.height

    def __repr__(self) -> str:
        return repr(self.table)

    @cached_property
    def _pictures(self) -> dict[str, tuple[str | None, bytes | None]]:
        """Title and picture by id, of the listings whose pictures were kept."""
        rows = self._listings.filter(pl.col(THUMBNAIL).is_not_null() | pl.col("title").is_not_null()).rows()
        return {id: (title, picture) for id, title, picture in reversed(rows)}

    def _card(self, id: str | None, said: Mapping[str, Any] | None = None) -> Card:
        title, picture = self._pictures.get(id or "", (None, None))
        return Card(id or "", title or "", picture, said or {})


class Predictions(_Answered):
    """Of each listing id, title, the picture's state, and labels by name with their probabilities."""

    def _repr_html_(self) -> str:
        cards = [self._card(row["id"], _said(row)) for row in self.table.head(show.MOST).iter_rows(named=True)]
        return show.cards(f"{self.table.height:,} predictions", cards, self.table.height)


class Matches(_Answered):
    """Of each pair left, right, probability, match and why there is no answer; or of each listing its cluster."""

    def _repr_html_(self) -> str:
        if "left" in self.table.columns:
            best = self.table.sort("probability", descending=True, nulls_last=True).head(show.MOST // 2)
            strips = [
                (
                    [self._card(row["left"]), self._card(row["right"])],
                    {n: row[n] for n in ("probability", "match", "why")},
                )
                for row in best.iter_rows(named=True)
            ]
            return show.strips(f"{self.table.height:,} pairs", strips, self.table.height)
        several = self.table.group_by("cluster", maintain_order=True).agg("id").filter(pl.col("id").list.len() > 1)
        clusters = [
            ([self._card(id) for id in ids[:6]], {"listings": len(ids)}) for _, ids in several.head(12).iter_rows()
        ]
        named = f"{self.table['cluster'].n_unique():,} products of {self.table.height:,} listings"
        return show.strips(f"{named}, {several.height:,} of them listed several times", clusters, several.height)


class Embeddings(_Answered):
    """Of each listing id, title, the picture's state and its point; what `Model.search` searches."""

    def __init__(self, told: Told, model: str) -> None:
        super().__init__(told)
        self.model = model  # key of the model whose points they are

    @cached_property
    def points(self) -> NDArray[np.float32]:
        """(N, D), each of length 1."""
        width = self.table.schema[POINT].shape[0]  # type: ignore[attr-defined]
        points_ND: NDArray[np.float32] = self.table[POINT].to_numpy().reshape(-1, width)
        return points_ND

    @property
    def listings(self) -> pl.DataFrame:
        """id, title and the picture's state."""
        return self.table.select(OWN)

    @property
    def thumbnails(self) -> pl.Series:
        """A small picture's file of each listing, null where there is none."""
        return self._listings[THUMBNAIL]

    def nearest(self, points_nD: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(n, k) numbers of listings and their cosines, best first; all are looked at."""
        cosines_nN = points_nD @ self.points.T
        best_nk = np.argsort(-cosines_nN, axis=1, kind="stable")[:, :k]
        return best_nk, np.take_along_axis(cosines_nN, best_nk, 1)

    def _repr_html_(self) -> str:
        cards = [self._card(id) for id in self.table["id"].head(show.MOST)]
        width = self.points.shape[1] if len(self) else 0
        return show.cards(f"{len(self):,} listings as points of {width} numbers", cards, len(self))


class Neighbours:
    """The listings nearest to a query. `table`: id, title, picture, score (the cosine), best first."""

    def __init__(self, table: pl.DataFrame, pictures: list[bytes | None], query: Listing) -> None:
        self.table, self._pictures, self._query = table, pictures, query

    @classmethod
    def of(cls, index: Embeddings | Index, point_D: NDArray[np.float32], k: int, query: Listing) -> Neighbours:
        numbers, scores = index.nearest(point_D[None], k) if len(index) else (np.zeros((1, 0), int), np.zeros((1, 0)))
        table = index.listings[numbers[0]].with_columns(score=pl.Series(scores[0], dtype=pl.Float32))
        return cls(table, [index.thumbnails[int(number)] for number in numbers[0]], query)

    def __len__(self) -> int:
        return self.table.height

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str:
        rows = zip(self.table.iter_rows(named=True), self._pictures, strict=True)
        cards = [Card(row["id"], row["title"] or "", picture, {"score": row["score"]}) for row, picture in rows]
        words = " ".join(text for text in self._query.texts.values() if text)
        asked = " and ".join(
            [*([f"“{words}”"] if words else []), *(["a picture"] if self._query.picture is not None else [])]
        )
        return show.cards(f"nearest to {asked}", cards[: show.MOST], len(cards))


def _said(row: Row) -> dict[str, Any]:
    """A label with its probability as one fact."""
    return dict(_facts({name: value for name, value in row.items() if name not in OWN}))


def _facts(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name.endswith((".probability", ".confidence")):
            continue
        sure = next((row[f"{name}.{end}"] for end in ("probability", "confidence") if f"{name}.{end}" in row), None)
        yield name, value if sure is None else show.Sure(value, sure)
