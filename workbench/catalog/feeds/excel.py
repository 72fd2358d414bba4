"""Workbooks of Excel and LibreOffice (.xlsx, .xlsm, .xlsb, .xls, .ods): the sheet with the most cells, as text."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.cells import CHUNK_ROWS, damaged, header
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError

ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
MOST_BYTES = 2**30  # unpacked; a workbook is read whole
MOST_CELLS = 50_000_000
HEADER_ROWS = 30  # the header is looked for in these

_CORNER = re.compile(rb"(?<=:)\$?([A-Z]{1,3})\$?([0-9]{1,7})(?=\"/>)")  # of <dimension ref="A1:XFD1048576"/>


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
    """A workbook is read whole, and a sheet as the rectangle around its cells, be they two in its corners."""
    if not zipfile.is_zipfile(path):
        return  # .xls is packed in no way, and small
    with damaged(path, "a workbook"), zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        sheets = [member for member in archive.infolist() if member.filename.startswith("xl/worksheets/sheet")]
        for sheet in sheets:
            with archive.open(sheet) as file:
                found = _CORNER.search(file.read(4096))
            if found and _column(found[1]) * int(found[2]) > MOST_CELLS:
                raise DataError(f"{path}: a cell lies far out at {found[0].decode()}; delete it, or save as CSV")
    if size > MOST_BYTES:
        raise DataError(f"{path}: unpacks to {size / 2**30:,.1f} GiB; save it as CSV, which is read a part at a time")


def _column(letters: bytes) -> int:
    return sum((letter - 64) * 26**place for place, letter in enumerate(reversed(letters)))
