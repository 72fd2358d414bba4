"""Listings in parts -> answers in memory, with the small pictures that a notebook shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console

from workbench.answers.index import THUMBNAIL
from workbench.answers.run import How, answered
from workbench.answers.thumbnails import thumbnail
from workbench.notebook.given import Asked
from workbench.progress import Progress

if TYPE_CHECKING:
    from workbench.answers.answers import Answers
    from workbench.answers.preparation import Prepared


@dataclass(frozen=True)
class Told:
    """What was asked and answered."""

    table: pl.DataFrame  # a line for each answer
    drops: pl.DataFrame  # rows of a feed without one: file, line, id, title, reason
    listings: pl.DataFrame  # id, title and thumbnail (bytes, null for most) of each answered listing


def ask(answers: Answers, what: Asked, how: How, console: Console, most: int) -> Told:
    """`most`: listings whose small pictures are kept, of a few thousand bytes each."""
    kept = 0

    def answer(prepared: Prepared) -> pl.DataFrame:
        nonlocal kept
        some = prepared.squares[: max(0, most - kept)]
        small: list[bytes | None] = [thumbnail(square, answers.preparation.stored) or None for square in some]
        kept += len(some)
        small += [None] * (len(prepared.pictures) - len(small))
        return how.answer(prepared).with_columns(pl.Series(THUMBNAIL, small, pl.Binary))

    asked = replace(how, answer=answer, own=("id", "title", "picture"))
    frames, drops = list[pl.DataFrame](), list[pl.DataFrame]()
    with Progress(console, "answer", unit="listings") as progress:
        for part in how.arrange(what.parts):
            found, lost = answered(answers, part, asked)
            frames.append(found)
            drops.append(lost)
            progress.advance(len(part.listings), dropped=lost.height)

    def all_of_them() -> Iterator[pl.DataFrame]:
        return (frame.drop(THUMBNAIL) for frame in frames)

    listings = pl.concat(frame.select("id", "title", THUMBNAIL) for frame in frames)
    return Told(pl.concat(how.then(all_of_them)), pl.concat(drops), listings)
