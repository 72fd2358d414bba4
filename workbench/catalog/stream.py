"""A feed's products as cleaned listings, chunk by chunk in their order: chunks are cleaned while the next is read."""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import polars as pl

from workbench.artifacts.executor import Executor
from workbench.catalog.clean.boilerplate import SAMPLE, Boilerplate
from workbench.catalog.dialects.dialect import Products, Reading
from workbench.catalog.dialects.products import products
from workbench.catalog.listings import Listings, learn, to_listings, words
from workbench.errors import DataError
from workbench.recipe.schema import Clean, Feed

AT_ONCE = 4  # chunks that are cleaned at once, at most: more would wait for one to be read and written


def read_clean(
    executor: Executor,
    feed: Feed,
    reading: Reading,
    key: str,
    names: Sequence[str],
    clean: Clean,
    position: int,
    recurring: dict[str, Boilerplate],
) -> Iterator[tuple[Products, Listings]]:
    """The feed's chunks and what became of them; `names` are the columns of the items, `position` that of its first
    product among those of all feeds. What recurs in its texts is put into `recurring`, by column.

    Raises DataError when the feed can't be read, or when a column that the recipe names is in none of its chunks.
    """
    header: dict[str, None] = {}
    waiting: deque[Products] = deque()
    first, rest = _first(products(feed, reading))
    if first and clean.boilerplate:
        sample = pl.concat([chunk.cells for chunk in first], how="diagonal").head(SAMPLE)
        recurring.update(learn(sample, reading.columns, clean))

    def pieces() -> Iterator[tuple[Products, int]]:
        nonlocal position
        while chunk := first.pop(0) if first else next(rest, None):
            header.update(dict.fromkeys(chunk.cells.columns))
            waiting.append(chunk)
            yield chunk, position
            position += chunk.cells.height

    work = partial(_cleaned, columns=reading.columns, names=names, recurring=recurring, clean=clean)
    for listings in executor.in_order(work, pieces(), min(executor.workers, AT_ONCE) + 1):
        yield waiting.popleft(), listings
    check_header(feed, list(header), reading, key)


def _cleaned(piece: tuple[Products, int], **how: Any) -> Listings:
    return to_listings(*piece, **how)


def check_header(feed: Feed, header: Sequence[str], reading: Reading, key: str) -> None:
    """DataError for a column of the recipe that the feed hasn't, naming the nearest one."""
    folded = {word.casefold(): word for word in header}
    for name, word in words(reading.columns).items():
        if word is not None and word not in header:
            near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
            hint = f"did you mean {folded[near[0]]!r}? " if near else ""
            role = re.sub("^label", "labels", "split" if name == "given_split" else name)
            raise DataError(
                f"{feed.path or feed.dataset or feed.database}: no column {word!r}; {hint}"
                f"header words: {', '.join(header)}. Correct {key}.columns.{role} in the recipe"
            )


def _first(chunks: Iterator[Products]) -> tuple[list[Products], Iterator[Products]]:
    """The chunks that hold the sample, and the others."""
    first: list[Products] = []
    while sum(chunk.cells.height for chunk in first) < SAMPLE and (chunk := next(chunks, None)):
        first.append(chunk)
    return first, chunks
