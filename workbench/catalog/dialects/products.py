"""Raw rows -> products, one row each.

A dialect that groups nothing passes chunk by chunk; one that groups sees the whole feed, since a product's rows may
stand anywhere in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from workbench.catalog.dialects import attributes
from workbench.catalog.dialects.cells import BRACKETED
from workbench.catalog.dialects.derive import derived, without_failed
from workbench.catalog.dialects.dialect import JOINED, Dialect, Products, Reading
from workbench.catalog.dialects.escapes import TEXTS
from workbench.catalog.dialects.gallery import as_cell, galleries
from workbench.catalog.dialects.group import OTHER_LANGUAGE, Rows, alone, grouped
from workbench.catalog.dialects.known import dialect_named
from workbench.catalog.dialects.money import with_currency
from workbench.catalog.dialects.pictures import fill_template
from workbench.catalog.dialects.place import placed
from workbench.catalog.dialects.words import matching
from workbench.catalog.feeds.read import open_source
from workbench.catalog.feeds.table import CHUNK, Table
from workbench.recipe.schema import Feed

NAMED_PICTURE = "picture by name"  # derived column: the picture's name by the dialect's template


def products(feed: Feed, reading: Reading) -> Iterator[Products]:
    """The feed's products, in the order of their head rows. DataError where the feed can't be read."""
    dialect = dialect_named(reading.dialect)
    read = (_ready(table, dialect, reading) for table in tables(feed))
    if dialect.grouping:
        yield from _grouped(list(read), dialect, reading)
    else:
        for table in read:
            rows = alone(table.cells.height)
            cells = _with_attributes(table.cells, table.cells, dialect, reading, rows, rows.head)
            none = pl.DataFrame(schema=JOINED)
            cells = _placed(cells, reading)
            yield Products(cells, table.lines, none, table.bad, table.read_as, table.file, table.mended)


def _ready(table: Table, dialect: Dialect, reading: Reading) -> Table:
    """The table without failed rows, its cells prepared."""
    table = without_failed(table, dialect)
    return replace(table, cells=prepared(table.cells, dialect, reading.language, reading.translated))


def tables(feed: Feed, limit: int | None = None) -> Iterator[Table]:
    """The feed's raw rows."""
    yield from open_source(feed, limit)


def prepared(
    cells: pl.DataFrame, dialect: Dialect, language: str | None, translated: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """The cells without what says nothing, texts read by their grammar, and the derived columns of single rows."""
    cells = derived(without_empty(cells, dialect), dialect)
    for word, grammar in dialect.texts.items():
        for column in matching([word], cells.columns):
            written = cells[column]
            if grammar in BRACKETED:
                written = written.filter(written.str.contains(r"^\s*[\[{(]"))
            written = written.drop_nulls().unique()
            said = [TEXTS[grammar](cell, language) or None for cell in written]
            if said:
                read = pl.col(column).replace_strict(written, pl.Series(said, dtype=pl.String), default=pl.col(column))
                cells = cells.with_columns(read)
    for column, words in translated.items():
        there: list[pl.Expr] = [pl.when(pl.col(w).str.contains(r"\S")).then(w) for w in words if w in cells.columns]
        cells = cells.with_columns(pl.coalesce(*there or [pl.lit(None, pl.String)]).alias(column))
    if dialect.picture:
        cells = cells.with_columns(fill_template(cells, dialect.picture).alias(NAMED_PICTURE))
    return cells


def without_empty(cells: pl.DataFrame, dialect: Dialect) -> pl.DataFrame:
    """The cells without outer space; null for those of nothing else, and for those that the dialect calls empty."""
    if not (dialect.empty or dialect.grouping or has_attributes(cells.columns, dialect)):
        return cells
    stripped = pl.all().str.strip_chars()
    return cells.with_columns(pl.when(~stripped.is_in(["", *dialect.empty])).then(stripped).name.keep())


def has_attributes(header: Sequence[str], dialect: Dialect) -> bool:
    """Whether some columns hold attributes of the dialect, which become columns of their own."""
    names = [named.name for named in dialect.attributes]
    return bool(matching([*names, *dialect.pairs, *dialect.attribute_columns], header))


def _with_attributes(
    cells: pl.DataFrame, raw: pl.DataFrame, dialect: Dialect, reading: Reading, rows: Rows, heads: Sequence[int]
) -> pl.DataFrame:
    """The products' cells and a column for each attribute of their raw rows."""
    if not (reading.attributes or has_attributes(raw.columns, dialect)):
        return cells
    found = attributes.merged(attributes.attributes_of(raw, dialect, rows))
    return cells.with_columns(attributes.columns(found, heads, reading.attributes))


def _placed(cells: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """The cells, the names of pictures with the place in which they lie before them, prices with their currency."""
    cells = with_currency(cells, reading.columns.price, reading.currency)
    words = [w for w in (reading.columns.picture, *reading.columns.pictures) if w in cells.columns]
    return cells.with_columns(placed(cells[w], reading.place) for w in words) if reading.place else cells


def _grouped(read: Sequence[Table], dialect: Dialect, reading: Reading) -> Iterator[Products]:
    """The whole feed's products, file by file of their head rows."""
    raw = pl.concat([table.cells for table in read], how="diagonal")
    rows = grouped(raw, dialect.grouping, reading.language)
    heads = [row for row, head in enumerate(rows.head) if row == head]
    cells = _with_attributes(_merged(raw, rows, dialect, reading), raw, dialect, reading, rows, heads)
    cells = _placed(cells, reading)
    origin = pl.concat([t.lines.cast(pl.UInt32).to_frame("line").with_columns(file=pl.lit(t.file)) for t in read])
    origin = origin.with_columns(pl.Series("role", rows.role), pl.Series("head", rows.head, pl.UInt32))
    origin = origin.with_row_index("row")
    for file in dict.fromkeys(table.file for table in read):
        of = [table for table in read if table.file == file]
        own = origin.filter(pl.col("row") == pl.col("head"), pl.col("file") == file).with_row_index("index")
        joined = origin.filter(pl.col("row") != pl.col("head")).join(own.select("head", "index"), on="head").sort("row")
        whole = Products(
            cells.filter(origin["file"].gather(heads) == file),
            own["line"],
            joined.select(*JOINED),
            tuple(bad for table in of for bad in table.bad),
            of[-1].read_as,
            file,
            tuple(mended for table in of for mended in table.mended),
        )
        yield from _chunks(whole)


def _chunks(whole: Products) -> Iterator[Products]:
    """The products in pieces, as cleaning needs several times the memory of what it cleans; bad rows with the first."""
    for start in range(0, max(len(whole.lines), 1), CHUNK):
        joined = whole.joined.filter(pl.col("index").is_between(start, start + CHUNK - 1))
        yield replace(
            whole,
            cells=whole.cells.slice(start, CHUNK),
            lines=whole.lines.slice(start, CHUNK),
            joined=joined.with_columns(pl.col("index") - start),
            bad=whole.bad if start == 0 else (),
            mended=whole.mended if start == 0 else (),
        )


def _merged(raw: pl.DataFrame, rows: Rows, dialect: Dialect, reading: Reading) -> pl.DataFrame:
    """One row a product: in each column the first filled cell, the pictures and codes of all rows as a JSON list."""
    sorted_rows = raw.with_columns(
        pl.Series("\0head", rows.head, pl.UInt32),
        pl.Series("\0weight", rows.weight, pl.UInt8),
        pl.Series("\0own", rows.own),
    ).with_row_index("\0row")
    sorted_rows = sorted_rows.filter(pl.col("\0weight") != OTHER_LANGUAGE).sort("\0head", "\0weight", "\0row")
    words = reading.columns
    first = [pl.col(word).drop_nulls().first() for word in raw.columns]
    cells = sorted_rows.group_by("\0head", maintain_order=True).agg(first)
    if words.code in raw.columns:
        codes = pl.col(words.code).drop_nulls().unique(maintain_order=True)
        cells = cells.with_columns(as_cell(sorted_rows.group_by("\0head", maintain_order=True).agg(codes)[words.code]))
    for column, names in galleries(sorted_rows, dialect, words).items():
        cells = cells.with_columns(names.alias(column))
    return cells.drop("\0head")
