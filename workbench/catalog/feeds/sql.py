"""The rows of an SQL query on PostgreSQL or DuckDB, batch by batch, as text.

The drivers' Arrow readers are used as they are: polars' `read_database` is a thin layer over them that panics at
types it has not, such as an interval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

from workbench.catalog.feeds.cells import chunks, header, text_cells
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError, MlimError
from workbench.recipe.secrets import SECRET, without_password

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10_000


def read_query(database: str, query: str, limit: int | None = None) -> Iterator[Table]:
    """Stream the query's rows. Raises DataError for a database that can't be asked; no message holds a password."""
    name = without_password(database)
    yield from chunks(_parts(database, query, limit, name), f"SQL on {name.partition(':')[0]}")


def _parts(database: str, query: str, limit: int | None, name: str) -> Iterator[pl.DataFrame]:
    first = 1
    try:
        with _rows(database, query) as reader:
            yield header(reader.schema.names)
            for batch in reader:
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    piece = batch.slice(start, BATCH_ROWS if limit is None else max(0, limit + 1 - first))
                    yield text_cells(piece, "", first)
                    first += piece.num_rows
                if limit is not None and first > limit:
                    return
    except MlimError:
        raise
    except Exception as error:  # each driver has its own
        reason = " ".join(_without_secrets(str(error), database).split())[:300]
        raise DataError(f"{name}: the query can't be answered ({reason}); correct catalog.feeds.N.query") from None


@contextmanager
def _rows(database: str, query: str) -> Iterator[pa.RecordBatchReader]:
    """The answer as it comes in; the connection is closed behind it."""
    kind, _, place = database.partition("://")
    try:
        if kind == "duckdb":
            import duckdb

            with closing(duckdb.connect(place, read_only=True)) as connection:
                answer = connection.sql(query)
                if answer is None:
                    raise DataError(f"{database}: the query has no rows to give; expected a SELECT")
                yield answer.to_arrow_reader(BATCH_ROWS)
        elif kind in ("postgresql", "postgres"):
            from adbc_driver_postgresql import dbapi

            with closing(dbapi.connect(database)) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(_readable(query, cursor.adbc_execute_schema(query)))
                yield cursor.fetch_record_batch()
        else:
            raise DataError(
                f"{without_password(database)}: unknown kind of database; expected postgresql://… or duckdb://FILE"
            )
    except ImportError:
        raise DataError(f"{without_password(database)}: reading a database needs `pip install mlim[sql]`") from None


def _readable(query: str, schema: pa.Schema) -> str:
    """The query, with types that Arrow has not, such as uuid, written as text by PostgreSQL itself.

    Money is a number of cents in Arrow: it becomes numeric.
    """
    casts = []
    for field in schema:
        kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        odd = kind == "interval" or str(field.type).startswith("extension<arrow.opaque")
        quoted = '"' + field.name.replace('"', '""') + '"'
        cast = "::numeric" if kind == "money" else "::text" if odd or kind == "uuid" else ""
        casts.append(f"{quoted}{cast} as {quoted}")
    plain = not any("::" in cast for cast in casts)
    return query if plain else f"select {', '.join(casts)} from ({query.rstrip().rstrip(';')}\n) as feed"


def _without_secrets(text: str, database: str) -> str:
    """Drivers quote the address that they were given, or parts of it."""
    text = text.replace(database, without_password(database))
    for secret in (found[2] for found in SECRET.finditer(database)):
        pieces = [piece for piece in re.split(r"[/?#@:]", secret) if len(piece) > 1]  # a password badly escaped
        for spelling in sorted({secret, unquote(secret), *pieces} - {""}, key=len, reverse=True):
            text = text.replace(spelling, "***")
    return without_password(text)
