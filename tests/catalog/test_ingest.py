"""The Ingest stage: the same items from any format, and every row accounted for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from workbench.artifacts.key import canonical
from workbench.artifacts.stage import Work
from workbench.catalog.dialects.dialect import JOINED, Products, Reading
from workbench.catalog.feeds.table import BadRow
from workbench.catalog.ingest import read_items, stage
from workbench.errors import DataError
from workbench.recipe.schema import Catalog, Clean, Columns, Feed, Runtime

COLUMNS = Columns(
    id="sku",
    title="title",
    text={"keywords": "tags", "price": "price"},
    labels={"aisle": "aisle"},
    group="parent",
    price="price",
)


def ingest(folder: Path, *feeds: Feed, **knobs: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    made = stage(Catalog(feeds=feeds, **knobs), {"catalog.feeds.0.path": "digest"})
    canonical(made.section)
    return dict(made.run(Work(folder, {}, Runtime(), Console(quiet=True), folder / "log")))


def feed_of(path: Path, text: str, columns: Columns | None = COLUMNS) -> Feed:
    path.write_text(text)
    return Feed(path=path, columns=columns)


def test_four_formats_give_the_same_bytes(tmp_path: Path) -> None:
    items = [
        {"sku": f"{i:05}", "parent": f"{i // 3}" if i % 4 else None, "title": f'Cafe\u0301 «{i}»\n"12"" x; |\t\''}
        | {"tags": ["a", "b,c"] if i % 5 else None, "price": i / 8, "new": i % 2 == 0, "aisle": "NA" if i % 7 else " "}
        for i in range(300)
    ]
    frame = pl.DataFrame(items)
    joined = frame.with_columns(pl.col("tags").list.join(", "))
    joined.write_csv(tmp_path / "a.csv")
    joined.write_csv(tmp_path / "a.tsv", separator="\t", include_bom=True, quote_style="always", line_terminator="\r\n")
    frame.write_ndjson(tmp_path / "a.jsonl")
    frame.write_parquet(tmp_path / "a.parquet")
    joined.with_columns(pl.col("price").cast(pl.String)).write_ndjson(tmp_path / "texts.ndjson")
    columns = COLUMNS.model_copy(update={"text": {**COLUMNS.text, "new": "new"}})
    written = set()
    for path in sorted(tmp_path.glob("*.*")):
        ingest(tmp_path / "out", Feed(path=path, columns=columns))
        written.add((tmp_path / "out" / "items.parquet").read_bytes())
    assert len(written) == 1
    first = read_items(tmp_path / "out").row(1, named=True)
    assert first == {
        **{"row": 1, "id": "00001", "group": "0", "feed": 0},
        **{"title": 'Café «1» "12"" x; | \'', "text.keywords": "a, b,c", "text.new": "false", "text.price": "0.125"},
        **{"label.aisle": "NA", "price": 0.125, "picture": None, "code": None, "language": None, "currency": None},
        "given_split": None,
    }


def test_every_row_is_kept_or_dropped_for_one_reason(tmp_path: Path) -> None:
    one = (
        "sku,title,tags,price,aisle,parent\n1,Mug,,,A,g\n,No id,,,A,g\n2,, \t,,A,g\n3,,oak,,A,\n1,Two,,,B,h\n4,short\n"
    )
    two = '{"sku": 3, "title": "Elsewhere"}\n{"sku": "5", "title": "Cup", "parent": "g"}\n{broken\n{"sku": null}\n'
    second = Columns(id="sku", title="title", group="parent")
    summary = ingest(tmp_path / "out", feed_of(tmp_path / "one.csv", one), feed_of(tmp_path / "two.jsonl", two, second))
    assert summary["rows"] == 10 and summary["listings"] == 3 and summary["dropped"] == 7
    assert summary["dropped_by_reason"] == {
        **{"broken JSON": 1, "duplicate id": 2, "no id": 2, "no title": 1, "ragged row": 1},
    }
    assert [f["kept"] for f in summary["feeds"]] == [2, 1]
    missing = {name: n for name, n in summary["missing"].items() if n}
    assert missing.pop("code") == missing.pop("language") == missing.pop("given_split") == missing.pop("currency") == 3
    assert missing == {"title": 1, "text.keywords": 2, "text.price": 3, "label.aisle": 1, "picture": 3, "price": 3}
    drops = pl.read_parquet(tmp_path / "out" / "drops.parquet")
    assert drops.select("feed", "line", "id", "reason", "detail").rows() == [
        (0, 3, None, "no id", "the id is empty"),
        (0, 4, "2", "no title", "title and text attributes are empty"),
        (0, 6, "1", "duplicate id", "first seen in feed 0, line 2"),
        (0, 7, None, "ragged row", "2 cells, the header has 6: 4,short"),
        (1, 1, "3", "duplicate id", "first seen in feed 0, line 5"),
        (1, 3, None, "broken JSON", drops["detail"][5]),
        (1, 4, None, "no id", "the id is empty"),
    ]
    assert pl.read_csv(tmp_path / "out" / "drops.csv", infer_schema=False).height == 7
    assert read_items(tmp_path / "out").select("row", "id", "group", "feed").rows() == [
        (0, "1", "g", 0),
        (1, "3", "3", 0),
        (2, "5", "g", 1),
    ]
    sources = pl.read_parquet(tmp_path / "out" / "sources.parquet")
    assert sources.rows() == [(0, 0, "", 2, "product"), (1, 0, "", 5, "product"), (2, 1, "", 2, "product")]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


def test_a_second_run_over_leftovers_gives_the_same_bytes(tmp_path: Path) -> None:
    text = "sku,title,tags,price,aisle,parent\n" + "".join(f"{i},Mug {i},,,A,\n" for i in range(100)) + "bad\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ingest(tmp_path / "clean", feed_of(tmp_path / "a.csv", text))
    (tmp_path / "killed").mkdir()
    for name in ("items.parquet", "items.parquet.tmp", "drops.csv.tmp"):
        (tmp_path / "killed" / name).write_bytes(b"half")
    ingest(tmp_path / "killed", feed_of(elsewhere / "renamed.csv", text))
    files = {f.name: f.read_bytes() for f in (tmp_path / "clean").iterdir()}
    assert files == {f.name: f.read_bytes() for f in (tmp_path / "killed").iterdir()}
    assert sorted(files) == [
        *("drops.csv", "drops.parquet", "examples.json", "items.parquet", "mended.parquet", "pictures.parquet"),
        *("sources.parquet", "summary.json"),
    ]


def test_columns_left_out_are_guessed_into_the_key(tmp_path: Path) -> None:
    bare = feed_of(tmp_path / "a.csv", "sku,name\n1,Mug\n", None)
    written = Feed(path=bare.path, columns=Columns(id="sku", title="name"))
    sections = [stage(Catalog(feeds=(feed,)), {}).section for feed in (bare, written)]
    assert sections[0] == sections[1] and str(tmp_path) not in canonical(sections[0])


def test_a_missing_column_names_the_nearest_and_the_key(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    feed = feed_of(path, "SKU,Titel,aisle\n1,Mug,A\n", Columns(id="SKU", title="Title", labels={"a": "isle"}))
    with pytest.raises(DataError) as error:
        ingest(tmp_path / "out", feed)
    assert str(error.value) == (
        f"{path}: no column 'Title'; did you mean 'Titel'? header words: SKU, Titel, aisle. "
        "Correct catalog.feeds.0.columns.title in the recipe"
    )
    with pytest.raises(DataError, match=r"mean 'aisle'\? .* Correct catalog\.feeds\.0\.columns\.labels\.a in"):
        ingest(tmp_path / "out", Feed(path=path, columns=Columns(id="SKU", title="Titel", labels={"a": "isle"})))


def products_of(cells: pl.DataFrame, lines: list[int], joined: list[tuple[int, str, int, str]], size: int) -> Any:
    """In place of `stream.products`: these products in chunks of `size`, none of whose rows was bad."""
    parts = pl.DataFrame(joined, JOINED, orient="row")

    def products(feed: Feed, reading: Reading) -> Iterator[Products]:
        for start in range(0, cells.height, size):
            own = parts.filter(pl.col("index").is_between(start, start + size - 1))
            own = own.with_columns((pl.col("index") - start).cast(pl.UInt32))
            chunk = pl.Series("line", lines[start : start + size], pl.UInt32)
            mended = (BadRow(9, "ragged row", "rejoined"),) if start == 0 else ()
            yield Products(cells.slice(start, size), chunk, own, (), "made here", "", mended)

    return products


def test_bytes_do_not_depend_on_how_the_feed_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tail = "<p>Free shipping on orders over $50.</p>"
    texts = [f"<p>Mug number {i} of oak, turned by hand and oiled twice</p>{tail if i % 2 else ''}" for i in range(500)]
    cells = pl.DataFrame(
        {
            "sku": [f"{i % 400}" if i % 50 else None for i in range(500)],
            "title": [("Caf\u00c3\u00a9 " if i % 3 else " Mug&amp;") + str(i % 7) for i in range(500)],
            "description": texts,
            "image": [f"{i}.jpg, {i}b.jpg" if i % 2 else f"{i}.jpg" for i in range(500)],
        }
    )
    joined = [(i, "", i * 2 + 2, "variant") for i in range(0, 500, 3)]
    monkeypatch.setattr("workbench.catalog.write.GROUP", 64)
    written = []
    for size in (500, 77, 13):
        made = products_of(cells, [i * 2 + 1 for i in range(500)], joined, size)
        monkeypatch.setattr("workbench.catalog.stream.products", made)
        bare = feed_of(tmp_path / "a.csv", "sku,title,description,image\n1,Mug,x,a.jpg\n", None)
        summary = ingest(tmp_path / f"{size}", bare)
        written.append({f.name: f.read_bytes() for f in (tmp_path / f"{size}").iterdir()})
    assert written[0] == written[1] == written[2]
    assert summary["rows"] == 500 + 167 == summary["listings"] + summary["joined"] + summary["dropped"]
    assert summary["mended_by_reason"] == {"ragged row": 1}
    assert [found["sentence"] for found in summary["boilerplate"]] == ["Free shipping on orders over $50."]
    out = tmp_path / "13"
    assert pl.read_parquet(out / "items.parquet").height == summary["listings"] == 392
    assert pq.ParquetFile(out / "items.parquet").num_row_groups == 7
    sources = pl.read_parquet(out / "sources.parquet")
    assert sources.filter(pl.col("row") == 2).rows() == [(2, 0, "", 7, "product"), (2, 0, "", 8, "variant")]
    drops = pl.read_parquet(out / "drops.parquet")
    assert drops.filter(pl.col("line") < 3).select("line", "reason", "detail").rows() == [
        (1, "no id", "the id is empty"),
        (2, "no id", "part of the product in line 1"),
    ]
    pictures = pl.read_parquet(out / "pictures.parquet")
    assert pictures.rows()[:3] == [(0, 0, "main", "1.jpg"), (0, 1, "extra", "1b.jpg"), (1, 0, "main", "2.jpg")]
    examples = json.loads((out / "examples.json").read_text())
    assert examples["mojibake"][0] == {
        **{"position": 1, "column": "title", "id": "1", "before": "Caf\u00c3\u00a9 1", "after": "Caf\u00e9 1"}
    }
    assert {rule: len(shown) for rule, shown in examples.items()} == dict.fromkeys(examples, 5)


def test_doubles(tmp_path: Path) -> None:
    text = "sku,title\n1,Mug\n1,Mug \n1,Cup\n2,Pot\n"
    columns = Columns(id="sku", title="title")
    feed = feed_of(tmp_path / "a.csv", text, columns)
    ingest(tmp_path / "out", feed)
    drops = pl.read_parquet(tmp_path / "out" / "drops.parquet")
    assert drops.select("line", "reason", "detail").rows() == [
        (3, "exact duplicate row", "first seen in feed 0, line 2"),
        (4, "duplicate id", "first seen in feed 0, line 2"),
    ]
    with pytest.raises(DataError, match=r"line 3: the id '1' comes a second time .*catalog\.same_id: keep first"):
        ingest(tmp_path / "out", feed, same_id="fail")


def test_languages_are_kept_as_asked(tmp_path: Path) -> None:
    text = "sku,title,lang\n1,Oak mug,en_US\n2,Tasse,de\n3,Eine Tasse aus Eiche von Hand gedreht,\n4,XL,\n"
    feed = feed_of(tmp_path / "a.csv", text, Columns(id="sku", title="title", language="lang"))
    summary = ingest(tmp_path / "out", feed, clean=Clean(languages=("en",)))
    assert summary["dropped_by_reason"] == {"language de": 2} and summary["languages"] == {"en": 1}
    assert read_items(tmp_path / "out")["id"].to_list() == ["1", "4"]  # nobody can tell what XL is
    assert ingest(tmp_path / "out", feed)["languages"] == {"de": 1, "en": 1}


def test_rules_can_be_switched_off(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "a.csv", "sku,title\n1,<b>Mug</b> &amp;  n\n2,N/A\n", Columns(id="sku", title="title"))
    off = {"html": False, "entities": False, "white_space": False, "placeholders": False}
    ingest(tmp_path / "out", feed, clean=Clean(**off))
    assert read_items(tmp_path / "out")["title"].to_list() == ["<b>Mug</b> &amp;  n", "N/A"]
    summary = ingest(tmp_path / "out", feed)
    assert read_items(tmp_path / "out")["title"].to_list() == ["Mug & n"]
    changed = {"html": 1, "entities": 1, "white_space": 1, "placeholders": 1}
    assert {rule: n for rule, n in summary["cells_changed_by_rule"].items() if n} == changed


def test_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no listing is left of 2 rows \(1 no id, 1 no title\)"):
        ingest(tmp_path / "out", feed_of(tmp_path / "a.csv", "sku,title\n,x\n1,\n", Columns(id="sku", title="title")))
