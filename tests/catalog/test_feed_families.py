"""XML, workbooks, Parquet, Arrow, HDF5, SQL and data sets by name: text cells, addresses of pictures, bad rows told."""

import datetime
import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from workbench.catalog.feeds import cells as feed_cells
from workbench.catalog.feeds import records
from workbench.catalog.feeds.read import open_feed, read_feed
from workbench.catalog.feeds.sql import read_query
from workbench.catalog.feeds.table import Table, joined
from workbench.errors import DataError, MlimError
from workbench.recipe.secrets import without_password

PNG = b"\x89PNG\r\n\x1a\n rest"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def filled(table: Table) -> list[dict[str, str]]:
    return [{word: cell for word, cell in row.items() if cell} for row in table.cells.to_dicts()]


RSS = """<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0" xmlns:a="http://www.w3.org/2005/Atom"><channel>
<title>Shop</title><a:link href="x"/><a:link href="y"/>
<item>
 <g:id>007</g:id><title>Kite</title><g:title>Google's kite</g:title>
 <description><![CDATA[<b>Flies</b> & well]]></description>
 <g:additional_image_link>http://x.test/2.jpg</g:additional_image_link>
 <g:additional_image_link>http://x.test/3.jpg?a=1&amp;b=2</g:additional_image_link>
 <g:shipping><g:country>US</g:country><g:price>5 USD</g:price></g:shipping>
</item>
<item><g:id>2</g:id><title>Salt & Pepper caf&eacute;&#0;</title></item>
<item><g:id>3</g:id><title>Tea</titel></item>
<item><g:id>4</g:id><title>Pot</title></item>
<item><g:id>5</g:id><title>never closed</title>
<item><g:id>6</g:id><title>Cup</title></item>
"""


def test_rss_keeps_every_tag_and_reads_on_behind_broken_items(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "feed.xml", RSS + "</channel></rss>"))
    rows = filled(table)
    assert rows[0] == {
        "g:id": "007",
        "title": "Kite",
        "g:title": "Google's kite",
        "description": "<b>Flies</b> & well",
        "g:additional_image_link": "http://x.test/2.jpg",
        "g:additional_image_link (2)": "http://x.test/3.jpg?a=1&b=2",
        "g:shipping": '{"g:country":"US","g:price":"5 USD"}',
    }
    assert [row["title"] for row in rows[1:]] == ["Salt & Pepper café\ufffd", "Pot", "Cup"]
    assert table.lines.to_list() == [4, 11, 13, 15]
    assert [(bad.line, bad.reason) for bad in table.bad] == [(12, "broken XML"), (14, "broken XML")]


def test_xml_that_breaks_off_keeps_the_rows_before(tmp_path: Path) -> None:
    whole = RSS + "</channel></rss>"
    for end in range(whole.index("</item>") + 7, len(whole), 7):
        table = read_feed(write(tmp_path, "feed.xml", whole[:end]))
        assert table.cells["g:id"][0] == "007"
        assert "4" not in table.cells["g:id"].to_list() or end > whole.index("Pot")
        assert table.bad and all(bad.reason == "broken XML" for bad in table.bad)


@pytest.mark.parametrize(
    ("content", "cells"),
    [
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><a><b><i>caf\xe9 \x80\x0b</i></b><b/></a>', {"i": "café €"}),
        (b'<?xml version="1.0" encoding="UTF-8"?><a><b><i>caf\xe9</i></b></a>', {"i": "café"}),
        ('<?xml version="1.0"?><a><b><i>é</i></b></a>'.encode("utf-16"), {"i": "é"}),
        ("\n\n<?xml version='1.0' encoding='windows-1251'?><a><b><i>Чай</i></b></a>".encode("cp1251"), {"i": "Чай"}),
        ("<?xml version='1.0' encoding='shift_jis'?><a><b><i>茶</i></b></a>".encode("shift_jis"), {"i": "茶"}),
        (gzip.compress(b"<rss><channel><item><i>1</i></item></channel></rss>", mtime=0), {"i": "1"}),
        # Atom, another prefix for Google's names, texts as markup, lists
        (
            b'<feed xmlns="http://www.w3.org/2005/Atom" xmlns:goog="http://base.google.com/ns/1.0"><title>x</title><entry>'
            b'<goog:id>1</goog:id><link href="http://x"/><content type="xhtml"><div>A <b>b</b></div></content>'
            b"<images><image>1.jpg</image><image>2.jpg</image></images></entry></feed>",
            {
                **{"g:id": "1", "link": "http://x", "content": "<div>A <b>b</b></div>", "content.type": "xhtml"},
                "images": "1.jpg, 2.jpg",
            },
        ),
        # Yandex: a DTD that is not read, attributes, parameters told apart by name, products below other lists
        (
            b'<!DOCTYPE y SYSTEM "shops.dtd"><y><shop><categories><category id="1">A</category><category id="2">B'
            b'</category></categories><offers><offer id="12"><name>N</name><param name="Size" unit="cm">3</param>'
            b"<picture>a</picture><picture>b</picture></offer></offers></shop></y>",
            {
                **{"id": "12", "name": "N", "param.Size": "3", "param.Size.unit": "cm", "picture": "a"},
                "picture (2)": "b",
            },
        ),
        # one item with two of something in it; products within categories
        (b"<a><item><i>1</i><s><c>US</c><p>1</p></s><s><c>DE</c><p>2</p></s></item></a>", None),
        (b"<a><cat><n>x</n><product><i>1</i></product></cat><cat><product><i>2</i></product></cat></a>", {"i": "1"}),
    ],
)
def test_ways_to_write_xml(tmp_path: Path, content: bytes, cells: dict[str, str] | None) -> None:
    rows = filled(read_feed(write(tmp_path, "feed.xml", content)))
    assert rows[0] == cells if cells else rows[0]["i"] == "1" and len(rows) == 1


def test_entities_are_refused_and_nothing_is_fetched(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret.txt", "secret")
    lol = '<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;">]><a><b><i>&m;</i></b></a>'
    for feed in (lol, f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]><a><b><i>&x;</i></b></a>'):
        with pytest.raises(DataError, match=r"feed\.xml: the feed declares the entity '[lx]', which is refused"):
            read_feed(write(tmp_path, "feed.xml", feed))


def test_xml_is_read_in_bounded_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = "".join(f"<item><i>{i}</i><t>{'x' * 100}</t></item>\n" for i in range(21_000))
    path = write(tmp_path, "feed.xml", f"<rss><channel>\n{items}</channel></rss>")
    tables = list(open_feed(path))
    assert len(tables) == 2 and joined(tables).cells["i"].to_list() == [str(i) for i in range(21_000)]
    assert joined(tables).lines.to_list() == list(range(2, 21_002))
    assert read_feed(path, limit=3).cells["i"].to_list() == ["0", "1", "2"]
    nuls = write(tmp_path, "nuls.xml", b"<a><b><i>1</i></b>" + bytes(2**18) + b"<b><i>2</i></b></a>")
    assert read_feed(nuls).cells["i"].to_list() == ["1", "2"]
    monkeypatch.setattr(records, "MOST_BYTES", 2**18)
    huge = write(tmp_path, "huge.xml", f"<a><b><i>1</i></b><b><i>{'x' * 2**20}</i></b></a>")
    with pytest.raises(DataError, match=r"huge\.xml: a row of more than"):
        read_feed(huge)


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    path = tmp_path / "feed.xlsx"
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("Notes").write(0, 0, "hello")
        sheet = book.add_worksheet("Products")
        sheet.write(1, 0, "Our catalogue")
        for column, word in enumerate(["SKU", "Name", "Price", "EAN", "Name", "When"]):
            sheet.write_string(3, column, word)
        for row, price in ((4, 20), (6, 19.9)):
            sheet.write_string(row, 0, "007")
            sheet.write_string(row, 1, "Mug")
            sheet.write_number(row, 2, price)
            sheet.write_number(row, 3, 4006381333931)
            sheet.write_datetime(row, 5, datetime.datetime(2024, 1, 2), book.add_format({"num_format": "yyyy-mm-dd"}))
    return path


def test_a_workbook_is_its_largest_sheet_under_its_header_as_text(workbook: Path) -> None:
    table = read_feed(workbook)
    row = {"SKU": "007", "Name": "Mug", "EAN": "4006381333931", "When": "2024-01-02 00:00:00"}
    assert filled(table) == [row | {"Price": "20"}, row | {"Price": "19.9"}]
    assert table.cells.columns[4] == "Name (2)" and table.lines.to_list() == [5, 7]
    assert read_feed(workbook, limit=1).lines.to_list() == [5]


def test_a_workbook_with_a_cell_far_out_is_refused(tmp_path: Path) -> None:
    with pytest.importorskip("xlsxwriter").Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "id")
        sheet.write(1_048_575, 16_383, "x")
    with pytest.raises(DataError, match=r"a\.xlsx: a cell lies far out at XFD1048576; delete it"):
        read_feed(tmp_path / "a.xlsx")


def features(**kinds: Any) -> dict[str, str]:
    return {"huggingface": json.dumps({"info": {"features": kinds}})}


CLASSES = {"names": ["mug", "pot"], "_type": "ClassLabel"}


def pictured() -> pa.Table:
    there, path_only = {"bytes": PNG, "path": "a.png"}, {"bytes": None, "path": "b.png"}
    return pa.table(
        {
            "id": ["007", "8", None],
            "image": [there, path_only, None],
            "images": pa.array([[there, path_only, there], [], None]),
            "raw": [PNG, b"text", b"\xff\xfe"],
            "label": [0, 1, -1],
            "labels": [[0, 1], [], None],
        }
    ).replace_schema_metadata(features(label=CLASSES, labels={"feature": CLASSES, "_type": "List"}))


@pytest.mark.parametrize("kind", ["parquet", "arrow stream", "feather", "feather lz4"])
def test_pictures_in_cells_become_addresses_and_classes_their_names(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
    if kind == "parquet":
        pq.write_table(pictured(), path, row_group_size=2)
    elif kind == "arrow stream":
        with pa.ipc.new_stream(path, pictured().schema) as out:
            out.write_table(pictured(), 2)
    else:
        feather.write_feather(pictured(), path, compression="lz4" if "lz4" in kind else "uncompressed", chunksize=2)
    table = read_feed(path)
    name = path.name
    assert table.cells["id"].to_list() == ["007", "8", None]
    assert table.cells["image"].to_list() == [f"{name}::1::image", "b.png", None]
    assert table.cells["images"].to_list() == [f"{name}::1::images::1, b.png, {name}::1::images::3", None, None]
    assert table.cells["raw"].to_list() == [f"{name}::1::raw", "text", None]
    assert table.cells["label"].to_list() == ["mug", "pot", "-1"]
    assert table.cells["labels"].to_list() == ["mug, pot", "", None]
    assert table.lines.to_list() == [1, 2, 3]
    assert read_feed(path, limit=1).cells["image"].to_list() == [f"{name}::1::image"]


def test_bytes_that_are_all_there_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = pq.ParquetFile.iter_batches

    def iter_batches(self: Any, size: int, groups: list[int], columns: Any = None, **rest: Any) -> Iterator[Any]:
        read.extend(columns or [])
        return original(self, size, groups, columns, **rest)  # type: ignore[no-any-return]

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    pq.write_table(pictured().slice(0, 1).select(["id", "image"]), tmp_path / "a.parquet")
    assert read_feed(tmp_path / "a.parquet").cells["image"].to_list() == ["a.parquet::1::image"]
    assert read == ["id", "image.path"]


def test_every_type_of_arrow_is_text(tmp_path: Path) -> None:
    columns = {
        "decimal": pa.array([1, None], pa.decimal256(50, 2)),
        "half": pa.array([1.5, None], pa.float16()),
        "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        "none": pa.nulls(2),
        "category": pa.array(["x", None]).dictionary_encode(),
        "time": pa.array([0, None], pa.timestamp("s")),
        "never": pa.array([2**62, None], pa.timestamp("us")),
        "span": pa.array([datetime.timedelta(days=1), None]),
        "uuid": pa.array([b"\x01" * 16, None], pa.uuid()),
        "nested": pa.array([{"a": 1.5, "b": b"x"}, None]),
        "big": pa.array([2**63, None], pa.uint64()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert filled(read_feed(tmp_path / "a.parquet")) == [
        {
            **{"decimal": "1.00", "half": "1.5", "map": '{"a":"1"}', "category": "x", "big": str(2**63)},
            **{"time": "1970-01-01 00:00:00.000", "never": str(2**62), "span": "1 day, 0:00:00"},
            **{"uuid": "01010101-0101-0101-0101-010101010101", "nested": '{"a":"1.5","b":null}'},
        },
        {},
    ]


def test_parquet_comes_in_parts_of_rows_and_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame({"id": range(250_001)}).write_parquet(tmp_path / "a.parquet", row_group_size=120_000)
    tables = list(open_feed(tmp_path / "a.parquet"))
    assert max(table.rows for table in tables) <= 100_000
    assert joined(tables).cells["id"].to_list() == [str(i) for i in range(250_001)]
    assert joined(tables).lines.to_list() == list(range(1, 250_002))
    monkeypatch.setattr(feed_cells, "CHUNK_BYTES", 2**20)
    pl.DataFrame({"id": ["x" * 1000] * 9000}).write_parquet(tmp_path / "b.parquet")
    assert [table.rows for table in open_feed(tmp_path / "b.parquet")] == [4096, 4096, 808]


def test_hdf5_as_fashiongen_writes_it(tmp_path: Path) -> None:
    h5py, np = pytest.importorskip("h5py"), pytest.importorskip("numpy")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["input_productID"] = np.array([[7], [8]])
        file["input_image"] = np.zeros((2, 4, 4, 3), np.uint8)
        file["input_name"] = np.array([["café".encode("latin-1")], ["café".encode()]], "S20")
        file["input_msrpUSD"] = np.array([[12.5], [3.0]])
        file["names"] = ["x"]
        file["elsewhere"] = h5py.ExternalLink("g.h5", "x")
    assert filled(read_feed(tmp_path / "f.h5")) == [
        {"input_productID": id, "input_image": f"f.h5::{row}::input_image", "input_name": "café", "input_msrpUSD": usd}
        for row, id, usd in ((1, "7", "12.5"), (2, "8", "3.0"))
    ]
    assert read_feed(tmp_path / "f.h5", limit=1).rows == 1


def test_duckdb_reads_as_parquet_does(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = (
        "select lpad(i::varchar, 6, '0') as id, i as n, 1.50::decimal(9,2) as price, i / 2 as half, [i, 2] as l, "
        "{'a': i, 'b': 'x'} as s, date '2024-01-02' as d, map{'k': 1} as m, i = 1 as t, "
        "(sum(i) over ())::bigint as total, 'x'::blob as b, null as nothing, 1 as n from range(12000) r(i) order by i"
    )
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(f"create table p as {query.replace('1 as n', '1 as n_1')}")
        connection.execute(f"copy p to '{tmp_path}/p.parquet'")
    database = f"duckdb://{tmp_path}/shop.duckdb"
    asked = joined(list(read_query(database, "select * from p order by n")))
    written = read_feed(tmp_path / "p.parquet")
    assert asked.cells.rows() == written.cells.rows() and asked.lines.equals(written.lines)
    assert asked.cells["id"][7] == "000007" and asked.cells["price"][0] == "1.50"
    assert [table.rows for table in read_query(database, "select * from p", 3)] == [3]
    (empty,) = read_query(database, "select id, n from p where n < 0")
    assert empty.rows == 0 and empty.cells.columns == ["id", "n"]
    with pytest.raises(DataError, match=r"shop\.duckdb: the query can't be answered .*syntax error"):
        list(read_query(database, "selec 1"))
    with pytest.raises(DataError, match=r"none\.duckdb: the query can't be answered"):
        list(read_query(f"duckdb://{tmp_path}/none.duckdb", "select 1"))


@pytest.mark.parametrize(
    "database",
    [
        "postgresql://shop:s3cr3t@localhost:1/shop",
        "postgresql://shop:s3cr3t%2Fx@localhost:1/shop",
        "postgresql://shop:s3/cr3t@localhost:1/shop",
        "postgresql://localhost:1/shop?user=shop&password=s3cr3t",
        "mysql://shop:s3cr3t@localhost/shop",
    ],
)
def test_no_error_tells_a_password(database: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_query(database, "select 1"))
    assert not any(secret in str(caught.value) for secret in ("s3cr3t", "s3", "cr3t"))
    assert "s3" not in without_password(database) and "***" in without_password(database)


@pytest.mark.skipif("MLIM_TEST_POSTGRESQL" not in os.environ, reason="MLIM_TEST_POSTGRESQL names no server's address")
def test_postgresql_reads_as_duckdb_does() -> None:
    query = (
        "select lpad(i::text, 6, '0') as id, i as n, 1.50::numeric(9,2) as price, array[i, 2] as l, "
        "date '2024-01-02' as d, i = 1 as t, 12.5::money as m, '00000000-0000-0000-0000-000000000001'::uuid as u, "
        "null::text as nothing from generate_series(0, 24999) i order by i;"
    )
    table = joined(list(read_query(os.environ["MLIM_TEST_POSTGRESQL"], query)))
    row = ("000001", "1", "1.50", "1, 2", "2024-01-02", "true", "12.50", "00000000-0000-0000-0000-000000000001", None)
    assert table.rows == 25_000 and table.cells.row(1) == row


FAMILIES = ("feed.xml", "a.parquet", "a.arrow", "f.h5", "feed.xlsx", "a.tar")


@pytest.mark.parametrize("name", FAMILIES)
def test_damaged_files_raise_nothing_but_errors_with_advice(tmp_path: Path, name: str, request: Any) -> None:
    path = tmp_path / name
    if name == "feed.xml":
        path.write_text(RSS + "</channel></rss>")
    elif name == "a.parquet":
        pq.write_table(pictured(), path)
    elif name == "a.arrow":
        feather.write_feather(pictured(), path)
    elif name == "f.h5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["id"] = [1, 2, 3]
            file["name"] = ["a", "b", "c"]
    elif name == "a.tar":
        from tests.catalog.test_feed_folders import tar

        tar(path, {"1.jpg": PNG, "1.json": b'{"title": "x"}', "2.jpg": PNG, "2.txt": b"hello"})
    else:
        request.getfixturevalue("workbook")
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data[: draw.randrange(len(data))] if draw.random() < 0.3 else data)
        try:
            table = read_feed(path)
            assert table.rows == len(table.lines) + len(table.bad)
        except MlimError as error:
            assert str(path) in str(error)
