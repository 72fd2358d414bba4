"""Workbooks of Excel and LibreOffice (.xlsx, .xlsm, .xlsb, .xls, .ods): the sheet with the most cells, as text."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.cells import CHUNK_ROWS, damaged, header
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError

ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
MOST_BYTES = 2**30  # unpacked; a workbook is read whole
HEADER_ROWS = 30  # the header is looked for in these


def read_excel(path: Path, limit: int | None = None) -> Iterator[Table]:
    """Read a feed, or its first `limit` rows. A cell of text is as it stands (`007`), a whole number has no point.

    Raises DataError for a workbook that is damaged, encrypted or unpacks to more than MOST_BYTES.
    """
    import fastexcel

    _check_size(path)
    with damaged(path, "a workbook", "save it again, without a password, or as CSV"):
        book = fastexcel.read_excel(path)
        sheets = [book.load_sheet(name, header_row=None, skip_rows=0, dtypes="string") for name in book.sheet_names]
        sheet = max(sheets, key=lambda sheet: sheet.height * sheet.width)
        rows = sheet.to_polars()
    rows = rows.with_row_index("row", 1).filter(pl.any_horizontal(pl.exclude("row").str.contains(r"\S")))
    top = _header(rows.drop("row"))
    words = [word or "" for word in rows.drop("row").row(top)] if len(rows) else []
    body = rows[top + 1 :].head(len(rows) if limit is None else limit)
    for part in body.iter_slices(CHUNK_ROWS) if len(body) else (body,):
        cells = part.drop("row")
        cells.columns = header(words).columns
        yield Table(cells, part["row"].cast(pl.UInt32).alias("line"), (), f"workbook, sheet {sheet.name!r}")


def _header(rows: pl.DataFrame) -> int:
    """The first row with at least half as many filled cells as the fullest of the first rows: titles have fewer."""
    filled = [sum(bool((cell or "").strip()) for cell in row) for row in rows.head(HEADER_ROWS).rows()]
    return next((place for place, count in enumerate(filled) if 2 * count >= max(filled)), 0)


def _check_size(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        return  # .xls is packed in no way
    with damaged(path, "a workbook"), zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES:
        raise DataError(f"{path}: unpacks to {size / 2**30:,.1f} GiB; save it as CSV, which is read a part at a time")
