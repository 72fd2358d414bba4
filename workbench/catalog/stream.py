"""A feed's products as cleaned listings, chunk by chunk in their order: chunks are cleaned while the next is read."""

from __future__ import annotations

import difflib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import polars as pl

from workbench.catalog.clean.boilerplate import SAMPLE, Boilerplate
from workbench.catalog.dialects.dialect import Products, Reading
from workbench.catalog.dialects.products import products
from workbench.catalog.listings import Listings, learn, to_listings, words
from workbench.errors import DataError
from workbench.recipe.schema import Clean, Feed

T = TypeVar("T")


def read_clean(
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

    def cleaned(chunk: Products, position: int) -> tuple[Products, Listings]:
        return chunk, to_listings(chunk, position, reading.columns, names, recurring, clean)

    def chunks() -> Iterator[Callable[[], tuple[Products, Listings]]]:
        nonlocal position
        first, rest = _first(products(feed, reading))
        if clean.boilerplate:
            sample = pl.concat([chunk.cells for chunk in first], how="diagonal").head(SAMPLE)
            recurring.update(learn(sample, reading.columns, clean))
        while first:
            chunk = first.pop(0)
            header.update(dict.fromkeys(chunk.cells.columns))
            yield partial(cleaned, chunk, position)
            position += chunk.cells.height
            if not first and (following := next(rest, None)):
                first.append(following)

    yield from _in_order(chunks(), min(4, os.cpu_count() or 1))
    check_header(feed, list(header), reading, key)


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


def _in_order(tasks: Iterable[Callable[[], T]], workers: int) -> Iterator[T]:
    """The tasks' results in their order; so many tasks are worked on, or wait for their turn, at once."""
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[T]] = deque()
        for task in tasks:
            running.append(pool.submit(task))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
