"""Raw rows -> products, one row each: a pass through where the dialect groups nothing."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from workbench.catalog.dialects.dialect import JOINED, Products, Reading
from workbench.catalog.feeds.read import read_feed
from workbench.catalog.feeds.table import Table
from workbench.recipe.schema import Feed


def products(feed: Feed, reading: Reading) -> Iterator[Products]:
    """The feed's products, chunk by chunk. DataError where the feed can't be read."""
    for table in tables(feed):
        yield Products(table.cells, table.lines, pl.DataFrame(schema=JOINED), table.bad, table.read_as, table.file)


def tables(feed: Feed, limit: int | None = None) -> Iterator[Table]:
    """The feed's raw rows."""
    assert feed.path is not None
    yield read_feed(feed.path, limit)
