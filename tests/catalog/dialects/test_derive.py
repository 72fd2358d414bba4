"""Ids made whole, and parts of a cell as columns."""

import polars as pl

from workbench.catalog.dialects.derive import derived, without_failed
from workbench.catalog.dialects.dialect import Dialect, Failed
from workbench.catalog.feeds.table import BadRow, Table


def test_ids_get_their_zeros_back() -> None:
    dialect = Dialect("d", "", {}, digits={"article id": 10})
    cells = pl.DataFrame({"Article_ID": ["0108775015", "108775015", "108775015.0", " 7", "A-1", "", None]})
    assert derived(cells, dialect)["Article_ID"].to_list() == [
        *["0108775015"] * 3,
        "0000000007",
        "A-1",
        "",
        None,
    ]


def test_parts_of_a_cell_are_columns() -> None:
    dialect = Dialect("d", "", {}, parts={"image path": r"(?P<kind>[^/]+)/(?P<product>[^/]+)/[^/]+$"})
    cells = pl.DataFrame({"image_path": ["women/dresses/91/91_0.jpeg", "91.jpeg", None], "kind": ["kept", "", ""]})
    found = derived(cells, dialect)
    assert found["product"].to_list() == ["91", None, None]
    assert found["kind"].to_list() == ["kept", "", ""]


def test_rows_that_failed_are_bad() -> None:
    dialect = Dialect("d", "", {}, failed=Failed("status", ("success",), "error_message"))
    cells = {
        "Status": ["success", "failed_to_download", None, ""],
        "error_message": [None, "HTTP Error 404", None, None],
    }
    table = Table(pl.DataFrame(cells), pl.Series([1, 2, 3, 4], dtype=pl.UInt32), (), "CSV")
    found = without_failed(table, dialect)
    assert found.lines.to_list() == [1, 3, 4] and found.cells.height == 3 and found.rows == 4
    assert found.bad == (BadRow(2, "failed to download", "HTTP Error 404"),)
    assert without_failed(found, Dialect("e", "", {})) is found


def test_the_first_filled_cell_moves() -> None:
    dialect = Dialect("d", "", {}, moved={"name": ("title", "txt")})
    cells = pl.DataFrame({"txt": ["a", "b", " ", None], "title": ["t", None, "", None]})
    found = derived(cells, dialect)
    assert found["name"].to_list() == ["t", "b", None, None]
    assert found["txt"].to_list() == ["a", None, " ", None] and found["title"].to_list() == [None, None, "", None]
