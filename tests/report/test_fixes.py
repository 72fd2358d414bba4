"""What to fix first: each check on listings that have its problem, one that doesn't, and the order."""

import polars as pl

from workbench.images.fetched import WAITS
from workbench.report.fixes import table, worst

GOOD = {
    **{"id": "g", "feed": 0, "file": "", "line": 2, "title": "Oak mug 300 ml", "text.brand": "Fernhill"},
    **{"label.aisle": "Mugs", "price": 9.5, "code": "4006381333931", "language": "en", "duplicate_of": None},
    **{"state": "present", "reason": None, "width": 600, "height": 400},
}
NO_DROPS = pl.DataFrame(schema=dict.fromkeys(("id", "feed", "file", "line", "title", "reason", "detail"), pl.String))
DROPS = {"id": None, "feed": 0, "file": "", "line": 9, "title": "Pot", "reason": "no id", "detail": "the id is empty"}


def listings(*changes: dict[str, object]) -> pl.DataFrame:
    rows = [GOOD | {"id": f"g{i}"} for i in range(20)] + [GOOD | {"id": f"x{i}"} | c for i, c in enumerate(changes)]
    return pl.DataFrame(rows, infer_schema_length=None)


def problems_of(change: dict[str, object]) -> dict[str, str]:
    found = worst(listings(change), NO_DROPS)
    assert all(p.rows["id"].to_list() == ["x0"] for p in found)
    return {p.name: p.rows["found"][0] for p in found}


def test_a_sound_catalog_has_no_problem() -> None:
    assert problems_of({}) == {}


def test_each_problem_is_found_with_what_it_is() -> None:
    assert problems_of({"state": "absent", "reason": "no such file"}) == {"no picture": "no such file"}
    assert problems_of({"state": "absent", "reason": WAITS}) == {}  # nobody asked to download it
    assert problems_of({"state": "broken", "reason": "zero bytes"}) == {"broken picture": "zero bytes"}
    assert problems_of({"state": "placeholder", "reason": "on 40 products"}) == {
        "placeholder instead of a picture": "on 40 products"
    }
    assert problems_of({"width": 60}) == {"tiny picture": "60 x 400 pixels"}
    assert problems_of({"duplicate_of": "g3"}) == {"listed twice": "the same as g3"}
    assert problems_of({"title": None}) == {"no title": "empty"}
    assert problems_of({"title": "Mug"}) == {"title of one word": "Mug"}
    assert problems_of({"title": "OAK MUG"}) == {"title in capitals": "OAK MUG"}
    assert problems_of({"title": "USB C"}) == {}  # an abbreviation is no shouting
    assert problems_of({"text.brand": None}) == {"no brand": "empty"}
    assert problems_of({"price": None}) == {"no price": "empty"}
    assert problems_of({"price": 0.0}) == {"price of zero or less": "0.0"}
    assert problems_of({"language": "de"}) == {"another language than most": "de"}
    assert problems_of({"label.aisle": "Pots"}) == {"aisle with few listings": "Pots"}


def test_check_digits_of_every_length() -> None:
    good = ("96385074", "036000291452", "4006381333931", "10012345678902", "no barcode", "123", None, '["96385074"]')
    assert all(problems_of({"code": code}) == {} for code in good)
    for code in ("96385075", "036000291453", "4006381333930", "10012345678903", '["96385074", "96385075"]'):
        assert problems_of({"code": code}) == {"barcode with a wrong check digit": code}


def test_spellings_are_compared_without_case_and_signs() -> None:
    frame = listings({"label.aisle": "MUGS"}, {"label.aisle": "mugs "}, {"label.aisle": "Tea"})
    (spelt,) = (p for p in worst(frame, NO_DROPS) if "spelt" in p.name)
    assert spelt.name == "aisle spelt in several ways"
    assert set(spelt.rows["found"]) == {"Mugs", "MUGS", "mugs "}


def test_the_costliest_comes_first_and_the_table_has_every_row() -> None:
    changes = [{"price": None}] * 3 + [{"state": "broken", "reason": "zero bytes"}] * 2
    found = worst(listings(*changes), pl.DataFrame([DROPS] * 2, schema_overrides={"id": pl.String}))
    assert [(p.name, p.cost) for p in found] == [("row dropped: no id", 20), ("broken picture", 10), ("no price", 1.5)]
    lines = table(found, ["shop.csv"])
    assert lines["rank"].to_list() == list("1122333") and set(lines["feed"]) == {"shop.csv"}
    assert lines.columns == ["rank", "problem", "id", "feed", "file", "line", "title", "found", "advice"]
