"""The content of the data page, counted by hand for the shop of trouble.py."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from tests.report import trouble
from tests.report.test_page import _documented, _leaves
from workbench.report.counts import _languages, count
from workbench.report.page import render_catalog

PLACEHOLDER = "the same picture on 5 listings of 5 unrelated product groups"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trouble.make(trouble.write(tmp_path_factory.mktemp("trouble")), ["census"])[1]


@pytest.fixture(scope="module")
def data(made: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(made["census"].path("census.json").read_text("utf-8")))


def test_rows_and_why_some_were_dropped(data: dict[str, Any]) -> None:
    assert [data[n] for n in ("rows", "listings", "joined", "dropped")] == [26, 23, 0, 3]
    numbers = {"rows": 26, "listings": 23, "joined": 0, "dropped": 3}
    assert data["feeds"] == [{"name": "shop.csv", "dialect": "plain", "read_as": "comma-separated, UTF-8", **numbers}]
    assert [(d["reason"], d["count"], d["examples"][0]["place"]) for d in data["drops"]] == [
        ("no id", 1, "shop.csv, line 25"),
        ("no title", 1, "shop.csv, line 26"),
        ("duplicate id", 1, "shop.csv, line 27"),
    ]
    assert data["drops"][2]["examples"][0]["detail"] == "first seen in feed 0, line 3"
    assert data["mended"] == [] and data["joined_by_role"] == {}


def test_parts_and_kin(data: dict[str, Any]) -> None:
    assert data["parts"] == {"train": 21, "valid": 0, "test": 0, "left out": 2}  # two of three Oak mugs
    assert (data["split"]["components"], data["split"]["largest"], data["split"]["cross"]) == (21, 3, 0)
    assert data["kinship"] == {"same listing": 3} and data["left_out"] == 2
    (cluster,) = data["duplicates"]
    assert cluster["listings"] == 3
    assert [(s["id"], s["kept"]) for s in cluster["shown"]] == [("G0", True), ("C0", False), ("C1", False)]


def test_missing_attributes_lengths_classes_and_languages(data: dict[str, Any]) -> None:
    assert {(a["name"], a["kind"]): a["missing"] for a in data["attributes"]} == {
        ("title", "text"): 0,
        ("about", "text"): 6,  # five without a picture of their own, and one that says n/a
        ("kind", "label"): 1,
        ("price", "fact"): 1,
        ("code", "fact"): 21,
        ("picture", "fact"): 1,
    }
    # of 23 titles five have one word, one has three; of 17 texts one has one word, one two, one four, one six
    assert data["lengths"] == [
        {"name": "title", "tenth": 1, "half": 2, "nine_tenths": 2, "longest": 3},
        {"name": "about", "tenth": 3, "half": 3, "nine_tenths": 3, "longest": 6},
    ]
    (kinds,) = data["labels"]
    assert [(c["name"], c["listings"]) for c in kinds["largest"]] == [("Mugs", 11), ("Lamps", 10), ("Odd", 1)]
    assert (kinds["classes"], kinds["tail_classes"], kinds["tail_listings"], kinds["smallest"]) == (3, 1, 1, [])
    assert data["languages"] == [{"language": "en", "listings": 21}, {"language": "de", "listings": 2}]
    assert data["languages_of"] is None


def test_pictures_by_state_and_reason(made: dict[str, Any], data: dict[str, Any]) -> None:
    states = ("present", "absent", "broken", "placeholder")
    assert [data["pictures"][state] for state in states] == [14, 3, 1, 5]
    told = {(r["state"], r["reason"]): [e["id"] for e in r["examples"]] for r in data["pictures"]["reasons"]}
    assert told == {
        ("placeholder", PLACEHOLDER): ["N0", "N1", "N2", "N3", "N4"],
        ("absent", "a web address; add `fetch: {}` to the recipe to download it"): ["B2"],
        ("absent", "no picture is named"): ["B3"],
        ("absent", "no such file"): ["B1"],
        ("broken", "zero bytes"): ["B0"],
    }
    (blank,) = data["placeholders"]
    assert (blank["id"], blank["listings"]) == ("N0", 5)
    shown = count(made, ["shop.csv"], 1).shelf.pictures
    assert sorted(shown) == ["listing-0", "listing-12", "listing-17", "listing-18"]
    assert Image.open(io.BytesIO(shown[blank["picture"]])).convert("L").getextrema() == (192, 192)  # silver


def test_what_cleaning_changed_before_and_after(data: dict[str, Any]) -> None:
    cleaned = {(c["rule"], e["id"]): (e["before"], e["after"]) for c in data["cleaning"] for e in c["examples"]}
    assert cleaned[("entities", "G2")] == ("Hangs &amp; stacks", "Hangs & stacks")
    assert cleaned[("white_space", "G3")] == ("Heavy   grey granite", "Heavy grey granite")
    assert cleaned[("placeholders", "B3")] == ("n/a", None)
    assert {c["rule"]: c["cells"] for c in data["cleaning"]} == {
        **{"entities": 1, "html": 1, "placeholders": 1},
        "white_space": 2,  # also what html leaves of G6
    }


def test_what_to_fix_costliest_first_each_with_its_line(made: dict[str, Any], data: dict[str, Any]) -> None:
    assert [(f["problem"], f["listings"]) for f in data["fixes"]] == [
        ("placeholder instead of a picture", 5),  # 5 x 5
        ("no picture", 2),  # 2 x 5; that B2 waits for a download is no fault of the feed
        *((f"row dropped: {why}", 1) for why in ("duplicate id", "no id", "no title")),  # 1 x 10
        ("title of one word", 5),  # 5 x 2
        ("listed twice", 2),  # 2 x 3
        ("no about", 6),  # 6 x 1
        ("tiny picture", 3),  # 3 x 2
        ("broken picture", 1),  # 1 x 5
        ("barcode with a wrong check digit", 1),  # 1 x 2
        ("no kind", 1),
        ("another language than most", 2),  # 2 x 0.5
        ("price of zero or less", 1),  # 1 x 1
        ("kind with few listings", 1),  # 1 x 0.5
        ("no price", 1),
        ("title in capitals", 1),
    ]
    lines = pl.read_csv(made["census"].path("fixes.csv"), infer_schema=False)
    assert lines.height == sum(fix["listings"] for fix in data["fixes"])
    at = {(r["problem"], r["id"]): (r["feed"], r["line"], r["found"]) for r in lines.iter_rows(named=True)}
    assert at["barcode with a wrong check digit", "G5"] == ("shop.csv", "7", "4006381333930")
    assert at["listed twice", "C1"] == ("shop.csv", "20", "the same as G0")
    assert at["tiny picture", "G0"] == ("shop.csv", "2", "120 x 80 pixels")
    assert at["row dropped: no title", "X"] == ("shop.csv", "26", "title and text attributes are empty")


def test_the_census_has_the_page_and_nothing_undocumented(made: dict[str, Any], data: dict[str, Any]) -> None:
    census = made["census"]
    assert sorted(census.files) == ["catalog.html", "census.json", "certificate.json", "drops.csv", "fixes.csv"]
    html = census.path("catalog.html").read_text("utf-8")
    assert html.count("data:image/png;base64,") == 4 and "26 rows were read: 23 listings" in html
    documented = list(_documented())
    assert [p for p in _leaves({"data": data}) if not any(re.fullmatch(d, p) for d in documented)] == []
    assert census.summary["fix first"].startswith("placeholder instead of a picture (5); no picture (2); ")


def test_mended_rows_and_feeds_in_which_nothing_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("sku,price,title\nA,3,Oak mug, large\nB,4,Tin pot\nC,5\n")
    columns = "columns: {id: sku, title: title, price: price}"
    (tmp_path / "bare.yaml").write_text(f"catalog: {{feeds: [{{path: bare.csv, {columns}}}]}}\n")
    made = trouble.make(tmp_path / "bare.yaml", ["split"])[1]
    content = count(made, ["bare.csv"], 2).content
    (mended,) = content["mended"]
    assert (mended["reason"], mended["count"], mended["examples"][0]["place"]) == ("rejoined", 1, "bare.csv, line 2")
    assert [(d["reason"], d["examples"][0]["place"]) for d in content["drops"]] == [("ragged row", "bare.csv, line 4")]
    assert (content["labels"], content["languages"], content["languages_of"]) == ([], [], 0)
    assert [a["name"] for a in content["attributes"]] == ["title", "price"]
    assert [f["problem"] for f in content["fixes"]] == ["no picture", "row dropped: ragged row"]
    assert "bare.csv, line 2" in render_catalog("bare", content, {})


def test_languages_are_guessed_from_longer_texts_where_no_feed_says() -> None:
    english = "A mug turned by hand from a single piece of oak, for coffee and for tea"
    german = "Eine von Hand gedrechselte Tasse aus einem einzigen Stück Eiche"
    titles = [english, english + " too", german, "Mug 12"]  # the last tells nothing
    frame = pl.DataFrame({"title": titles, "language": pl.Series([None] * 4, dtype=pl.String)})
    assert _languages(frame) == {
        "languages": [{"language": "en", "listings": 2}, {"language": "de", "listings": 1}],
        "languages_of": 3,
    }


def test_titles_of_names_and_numbers_are_in_the_commonest_language() -> None:
    titles = ["a mug of solid oak, turned by hand and oiled twice with great care"] * 2
    titles += ["Samsung Galaxy S21 Ultra case black silicone magnetic cover"]  # by itself Italian
    frame = pl.DataFrame({"title": titles, "language": pl.Series([None] * 3, dtype=pl.String)})
    assert _languages(frame)["languages"] == [{"language": "en", "listings": 3}]


def test_many_languages_become_others() -> None:
    codes = [
        code
        for i, code in enumerate(("en", "de", "fr", "it", "es", "nl", "pl", "sv", "da", "no"))
        for _ in range(12 - i)
    ]
    told = _languages(pl.DataFrame({"language": codes}))["languages"]
    assert [line["listings"] for line in told] == [12, 11, 10, 9, 8, 7, 6, 5, 4 + 3]
    assert told[-1]["language"] == "others"
