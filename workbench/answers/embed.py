"""`mlim embed`: each listing as a point of length 1; and an index of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from workbench.answers.answers import Answers
from workbench.answers.index import POINT, THUMBNAIL, write_index
from workbench.answers.preparation import Prepared
from workbench.answers.run import BATCH, Frames, How
from workbench.answers.thumbnails import thumbnail


def embedding(answers: Answers, index: Path | None = None, batch: int = BATCH) -> How:
    """How each listing is answered: `point`, float32 (D,). One with nothing to read is dropped. `index`: a folder."""

    def answer(prepared: Prepared) -> pl.DataFrame:
        points_BD = answers.points(prepared.batch)
        table = pl.DataFrame({POINT: pl.Series(points_BD, dtype=pl.Array(pl.Float32, points_BD.shape[1]))})
        if not index:
            return table
        small = [thumbnail(square, answers.preparation.stored) for square in prepared.squares]
        return table.with_columns(pl.Series(THUMBNAIL, small, pl.Binary))

    def then(frames: Frames) -> Iterator[pl.DataFrame]:
        if index:
            write_index(index, answers.key, frames())
        return (frame.drop(THUMBNAIL, strict=False) for frame in frames())

    return How(
        answer,
        {"points": True, "thumbnails": index is not None},
        batch,
        ("id", "title", "picture"),
        then=then,
        empty="drop",
    )
