"""Readers: every cell is text as written, and a row that can't be read is told, with its line."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from workbench.catalog.feeds.read import open_feed, read_feed
from workbench.catalog.feeds.table import joined
from workbench.errors import DataError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_nothing_is_typed_and_only_the_empty_cell_is_missing(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", "id,usage,price\n000123,NA,1.50\n1e5,None,nan\n"))
    assert table.cells.rows() == [("000123", "NA", "1.50"), ("1e5", "None", "nan")]
    assert table.cells.dtypes == [pl.String] * 3


def test_newlines_and_doubled_quotes_stay_in_their_cell_and_lines_are_physical(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", 'id,title\n1,"Oak\n""hand made""\nmug"\n\n2,Cup 12" wide\n'))
    assert table.cells.rows() == [("1", 'Oak\n"hand made"\nmug'), ("2", 'Cup 12" wide')]
    assert table.lines.to_list() == [2, 6]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end(tmp_path: Path, end: str) -> None:
    table = read_feed(write(tmp_path, "a.csv", end.join(["id,title", "1,A\u2028B", "2,C"])))
    assert table.cells.rows() == [("1", "A\u2028B"), ("2", "C")]
    assert table.lines.to_list() == [2, 3]


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_the_delimiter_is_the_one_that_splits_the_rows_alike(tmp_path: Path, delimiter: str, name: str) -> None:
    rows = [["id", "title", '"Categories (x,y,z; a|b)"'], ["1", "Mug", '"Home, Pots"'], ["2", "Cup", '"a;b, c|d"']]
    table = read_feed(write(tmp_path, "a.txt", "\n".join(map(delimiter.join, rows))))
    assert table.cells.columns == ["id", "title", "Categories (x,y,z; a|b)"]
    assert table.cells.height == 2 and table.read_as.startswith(name)


def test_more_commas_than_semicolons_do_not_mislead(tmp_path: Path) -> None:
    text = "ID;Categories (x,y,z...);Images (x,y,z...)\n7;Home,Pots;a.jpg,b.jpg\n8;Home;a.jpg,b.jpg,c.jpg\n"
    assert read_feed(write(tmp_path, "a.csv", text)).cells.width == 3


def test_a_byte_order_mark_before_a_quoted_header(tmp_path: Path) -> None:
    assert read_feed(write(tmp_path, "a.csv", b'\xef\xbb\xbf"ID","Name"\n1,Mug\n')).cells.columns == ["ID", "Name"]


def test_encodings_are_told(tmp_path: Path) -> None:
    text = "id\ttitle\n1\tCafé\n2\tTea\n"
    utf16 = read_feed(write(tmp_path, "a.txt", text.encode("utf-16")))
    assert utf16.cells["title"].to_list() == ["Café", "Tea"] and "UTF-16" in utf16.read_as
    mixed = read_feed(write(tmp_path, "b.tsv", text.encode() + "3\tCrème – 5 €\n".encode("cp1252")))
    assert mixed.cells["title"].to_list() == ["Café", "Tea", "Crème – 5 €"]
    assert mixed.read_as == "tab-separated, UTF-8, 1 lines as Windows-1252"


def test_repeated_and_empty_header_words_are_kept_apart(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", "id, image ,image,\n1,a.jpg,b.jpg,x\n"))
    assert table.cells.columns == ["id", "image", "image (2)", "column 4"]


def test_ragged_rows_are_told_with_their_line(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", 'id,price\n1,"a\nb"\n2\n3,x,y\n4,z\n'))
    assert table.cells["id"].to_list() == ["1", "4"] and table.rows == 4
    assert [(b.line, b.reason, b.detail) for b in table.bad] == [
        (4, "ragged row", "1 cells, the header has 2: 2"),
        (5, "ragged row", "3 cells, the header has 2: 3,x,y"),
    ]


def test_a_quote_that_never_closes_spoils_its_own_line_only(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", 'id,title\n1,ok\n2,"open\n3,kept\n4,"two\nlines"\n5,"last\n6,end\n'))
    assert table.cells.rows() == [("1", "ok"), ("3", "kept"), ("4", "two\nlines"), ("6", "end")]
    assert [(b.line, b.reason) for b in table.bad] == [(3, "unclosed quote"), (7, "unclosed quote")]


def test_a_cell_longer_than_the_default_limit(tmp_path: Path) -> None:
    assert (
        read_feed(write(tmp_path, "a.csv", f"id,html\n1,{'x' * 200_000}\n")).cells["html"].str.len_chars()[0] == 200_000
    )


def test_json_lines_keep_the_text_of_numbers(tmp_path: Path) -> None:
    lines = [
        '{"id": 12345678901234567890, "price": 1.50, "new": true, "tags": ["a", 2, null, false], "size": {"w": 1}}',
        '{"id": "000123", "late": "yes", "price": null}',
        '{"id": 3,',
        "[1]",
        "",
        '{"id": "\\ud83d\\ude00 \\ud83d!"}',
    ]
    table = read_feed(write(tmp_path, "a.jsonl", "\n".join(lines)))
    assert table.cells.to_dicts()[0] == {
        **{"id": "12345678901234567890", "price": "1.50", "new": "true", "tags": "a, 2, false"},
        **{"size": '{"w":"1"}', "late": None},
    }
    assert table.cells["id"].to_list()[1:] == ["000123", "😀 \ufffd!"]
    assert table.cells["late"].to_list() == [None, "yes", None]
    assert table.lines.to_list() == [1, 2, 6]
    assert [(b.line, b.reason) for b in table.bad] == [(3, "broken JSON"), (4, "broken JSON")]


def test_a_key_first_met_after_many_rows(tmp_path: Path) -> None:
    rows = [{"id": i} for i in range(50_001)] + [{"late": "x"}]
    table = read_feed(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))))
    assert table.cells["id"].null_count() == 1 and table.cells["late"].null_count() == 50_001


def test_parquet_is_text_too(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"id": [7, 8], "tags": [["a", "b"], None], "picture": [b"\xff\xd8\xff", b"\xff"], "in": [True, None]}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    cells = read_feed(tmp_path / "a.parquet").cells
    assert cells.to_dicts() == [
        {"id": "7", "tags": "a, b", "picture": "a.parquet::1::picture", "in": "true"},
        {"id": "8", "tags": None, "picture": None, "in": None},
    ]


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    packed = gzip.compress(b"id,title\n1,Mug\n")
    assert read_feed(write(tmp_path, "a.csv.gz", packed)).cells.rows() == [("1", "Mug")]
    with pytest.raises(DataError, match=r"a\.csv\.gz: the feed can't be read"):
        read_feed(write(tmp_path, "a.csv.gz", packed[:20]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "holds no row .header words: none"),
        ("a.csv", "id,title\n", "holds no row .header words: id, title"),
        ("a.jsonl", "nope\n", "none of 1 rows can be read as JSON lines.*line 1: broken JSON"),
        ("a.parquet", "nope", "can't be read as Parquet"),
        ("a.csv", "<!doctype html>", "unknown kind of feed"),
        ("a.pdf", "%PDF", "unknown kind of feed; expected .csv"),
    ],
)
def test_a_feed_that_is_none(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_feed(write(tmp_path, name, content))


def test_the_head_alone(tmp_path: Path) -> None:
    rows = [{"id": str(i), "title": "x"} for i in range(500)]
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame(rows).write_csv(tmp_path / "a.csv")
    pl.DataFrame(rows).write_ndjson(tmp_path / "a.jsonl")
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        assert read_feed(tmp_path / name, limit=3).cells.rows() == [("0", "x"), ("1", "x"), ("2", "x")]


def test_lists_and_objects_written_as_json_read_alike_from_every_format(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "tags": ["red", "soft, warm"], "size": {"w": 1.5, "unit": "cm"}, "title": "[MASK] mug"},
        {"id": "2", "tags": [], "size": {"w": 2.5, "unit": None}, "title": "[SEP]"},
    ]
    frame = pl.DataFrame(rows)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    cells = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
    pl.DataFrame(cells).write_csv(tmp_path / "a.csv")
    pl.DataFrame(cells).write_csv(tmp_path / "a.tsv", separator="\t")
    read = {name: read_feed(tmp_path / f"a.{name}").cells.rows() for name in ("csv", "tsv", "jsonl", "parquet")}
    assert read["csv"][0] == ("1", "red\nsoft, warm", '{"unit":"cm","w":"1.5"}', "[MASK] mug")
    assert read["csv"][1] == ("2", "", '{"unit":null,"w":"2.5"}', "[SEP]")
    assert read["csv"] == read["tsv"] == read["jsonl"] == read["parquet"]


def test_half_a_surrogate_pair_in_a_cell_of_json(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", 'id,tags\n1,"[""\\ud83d-"", ""\\ud83d\\ude00""]"\n'))
    assert table.cells["tags"].to_list() == ["\ufffd-, 😀"]


@pytest.mark.parametrize(
    ("name", "content", "cells"),
    [
        # Vendure pads its cells: ` "Gold, plain" ` is a quoted one
        (
            "a.csv",
            'id, title , about\n1 , Ring , "Gold, plain"\n2, Mug, "A ""fine"" one" \n',
            ["Gold, plain", 'A "fine" one'],
        ),
        # eBay escapes a quote; Magento's \"" is a backslash before a doubled one
        ("a.tsv", 'id\ttitle\tabout\n1\ta\t"a \\"b\\" c\td"\n2\tb\t"x\\\\y"\n', ['a "b" c\td', "x\\y"]),
        ("a.csv", 'id,title,about\n1,a,"{\\""k\\"": 1.5, \\""l\\""}"\n', ['{\\"k\\": 1.5, \\"l\\"}']),
        # Open Food Facts quotes nothing, and has stray quotes at the beginning of cells
        ("a.csv", 'id\ttitle\tabout\n1\ta\t"Big\n2\tb\t"Big" box\n3\tc\t12" box\n', ['"Big', '"Big" box', '12" box']),
        # inch marks, within quotes not doubled, doubled, and without
        (
            "a.csv",
            'id,title,about\n1,a,12" pan\n2,b,"12" pan"\n3,c,"12"" pan"\n4,d,pan 12"\n',
            ['12" pan'] * 3 + ['pan 12"'],
        ),
        ("a.tsv", 'id\ttitle\tabout\n1\ta\t12" pan\n2\tb\t"12" pan"\n3\tc\t"12"" pan"\n', ['12" pan'] * 3),
        # a quote that stays open in a tab-separated row with the right number of cells is a sign
        ("a.tsv", "id\ttitle\tabout\n" + '1\ta\t"b"\n' * 300 + '2\tb\t"open\n', ["b"] * 300 + ['"open']),
    ],
)
def test_ways_of_quoting(tmp_path: Path, name: str, content: str, cells: list[str]) -> None:
    table = read_feed(write(tmp_path, name, content))
    assert table.cells["about"].to_list() == cells and not table.bad


def test_the_first_line_of_excel_names_the_delimiter(tmp_path: Path) -> None:
    for first in ("sep=;\n", '"sep=;"\r\n'):
        table = read_feed(write(tmp_path, "a.csv", first + "id,x;title,y\n1;a,b\n"))
        assert table.cells.columns == ["id,x", "title,y"] and table.lines.to_list() == [3]


def test_a_first_line_of_excel_with_no_delimiter_is_a_line(tmp_path: Path) -> None:
    """Found by fuzzing: NUL is no delimiter."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xff\xfe" + "sep=\0\r\nid;title\r\n1;a,b\r\n".encode("utf-16-le"))
    assert read_feed(path).rows == 2


def test_further_cells_are_rejoined_where_only_one_text_can_have_them(tmp_path: Path) -> None:
    header = "id,usage,productDisplayName"
    rows = "1,NA,White, Blue and Red Tee\n2,NA,Plain\n3,NA\n4,NA,Cup,,\n"
    table = read_feed(write(tmp_path, "a.csv", f"{header}\n{rows}"))
    assert table.cells["productDisplayName"].to_list() == ["White, Blue and Red Tee", "Plain", "Cup"]
    assert [(row.line, row.reason) for row in table.bad] == [(4, "ragged row")]
    assert [(row.line, row.reason) for row in table.mended] == [(2, "rejoined")]
    padded = read_feed(write(tmp_path, "b.csv", f"{header},,\n1,NA,White, Blue,\n2,NA,Plain,,\n3,NA,Cup\n"))
    assert padded.cells.rows() == [("1", "NA", "White, Blue"), ("2", "NA", "Plain"), ("3", "NA", "Cup")]


def test_in_the_midst_of_a_row_only_prose_is_rejoined_and_never_between_two_texts(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", "id,title,price\n1,White, blue,5\n2,Pot,12,50\n"))
    assert table.cells.rows() == [("1", "White, blue", "5")] and table.bad[0].line == 3
    table = read_feed(write(tmp_path, "a.csv", "id,title,description\n1,a,b\n2,White, blue,soft\n"))
    assert table.cells.rows() == [("1", "a", "b")] and table.bad[0].reason == "ragged row"


def test_utf16_without_a_mark_and_marks_where_files_were_joined(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        table = read_feed(write(tmp_path, "a.csv", "id,title\n1,Käse\n2,Чай\n".encode(encoding)))
        assert table.cells["title"].to_list() == ["Käse", "Чай"] and "UTF-16" in table.read_as
    joint = b'\xef\xbb\xbf"id",title\n1,a\n' + b'\xef\xbb\xbf"2",b\n3,a\x00b\n'
    assert read_feed(write(tmp_path, "b.csv", joint)).cells.rows() == [("1", "a"), ("2", "b"), ("3", "a\x00b")]


@pytest.mark.parametrize(
    ("content", "ids", "lines"),
    [
        ('[{"id": 1.50},\n{"id": 2, "images": [{"x": 1}]}]', ["1.50", "2"], [1, 2]),
        ('{"total": 2, "meta": {"a": 1}, "products": [{"id": 1},\n\n{"id": 2}]}', ["1", "2"], [1, 3]),
        ('{"data": {"items": [{"id": 1}]}}', ["1"], [1]),
        ('{\n"id": 1,\n"variants": [{"s": 1}]\n}\n{"id": 2\n}', ["1", "2"], [1, 5]),
        ('{"id": 1}\n{"id": 2}\n', ["1", "2"], [1, 2]),
        ('{"a": {"id": 1},\n"b": {"id": 2}}', ["1", "2"], [1, 2]),
    ],
)
def test_json_documents(tmp_path: Path, content: str, ids: list[str], lines: list[int]) -> None:
    table = read_feed(write(tmp_path, "a.json", content))
    assert table.cells["id"].to_list() == ids and table.lines.to_list() == lines and not table.bad


def test_a_json_document_that_breaks_off(tmp_path: Path) -> None:
    items = ",\n".join(json.dumps({"id": str(i), "title": "x" * 500}) for i in range(9000))  # more than is read at once
    table = read_feed(write(tmp_path, "a.json", f'{{"n": 1, "products": [{items}, 7, {{"id": "cut'))
    assert table.cells["id"].to_list() == [str(i) for i in range(9000)] and table.lines[-1] == 9000
    assert [(row.line, row.reason) for row in table.bad] == [(9000, "broken JSON")] * 2


def test_tables_are_small_and_hold_every_row_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,title\n" + "".join(f"{i},\n" for i in range(250_001)))
    tables = list(open_feed(path))
    assert max(table.rows for table in tables) <= 100_000
    assert joined(tables).cells["id"].to_list() == [str(i) for i in range(250_001)]
    assert joined(tables).lines.to_list() == list(range(2, 250_003))


def test_header_words_that_would_be_patterns_of_columns(tmp_path: Path) -> None:
    table = read_feed(write(tmp_path, "a.csv", 'id,*,^.*$,(*)\n1,a,"[""b""]",c\n'))
    assert table.cells.to_dicts() == [{"id": "1", "(*)": "a", "(^.*$)": "b", "((*))": "c"}]


def test_what_would_fill_memory_is_refused_or_given_in_parts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the header has 20,000 words, at most 10,000"):
        read_feed(write(tmp_path, "a.csv", ",".join(["a"] * 20_000) + "\n1\n"))
    tables = list(open_feed(write(tmp_path, "b.jsonl", "".join(f'{{"k{i}": 1}}\n' for i in range(9_000)))))
    assert sum(table.rows for table in tables) == 9_000 and len(tables) > 1
    table = read_feed(write(tmp_path, "c.json", '[{"id": 1}, {}, ' + '{"a":' * 5000))
    assert table.cells.rows() == [("1",)] and [row.reason for row in table.bad] == ["broken JSON"] * 2
