"""One product's way through every step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report import trouble
from workbench.errors import DataError
from workbench.report.why import why

SHOPIFY = Path(__file__).parents[1] / "catalog" / "feeds" / "shopify" / "products_export.csv"
Ask = Callable[[str], dict[str, list[str]]]


def asker(recipe_file: Path) -> Ask:
    recipe, made = trouble.make(recipe_file)
    return lambda product: dict(why(made, recipe.catalog.feeds, product))


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    return asker(trouble.write(tmp_path_factory.mktemp("trouble")))


@pytest.fixture(scope="module")
def ask_shopify(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    folder = tmp_path_factory.mktemp("shopify")
    shutil.copy(SHOPIFY, folder / "products.csv")
    recipe = "catalog: {feeds: [{path: products.csv}]}\nimages: {use: all}\ntokens: {vocabulary: 300}\n"
    (folder / "shop.yaml").write_text(recipe)
    return asker(folder / "shop.yaml")


def test_every_step_of_a_listing(ask: Ask) -> None:
    steps = ask("G6")
    assert list(steps) == [
        *("shop.csv, line 8, read as product", "listing: row 6"),
        *("pictures", "duplicates", "split", "tokens"),
    ]
    assert "about: <p>Bends</p><p>anywhere</p>" in steps["shop.csv, line 8, read as product"]
    assert steps["listing: row 6"] == [
        *("id: G6", "group: G6", "title: Desk lamp", "text.about: Bends anywhere", "label.kind: Lamps"),
        *("language: en", "price: 7.5", "currency: EUR", "picture: 6.png"),
    ]
    (picture,) = steps["pictures"]
    assert picture.startswith("main: 6.png: present, 120 x 120 px, SHA-256 ")
    assert steps["duplicates"] == ["none"] and steps["split"] == ["train", "without kin"]
    text, ids = steps["tokens"]
    assert text.startswith("[title] desk lamp [about] ") and ids.startswith("14 tokens: ")  # 16 with both ends


def test_a_listing_that_is_left_out(ask: Ask) -> None:
    steps = ask("C0")
    assert steps["duplicates"] == ["same listing as G0 (1.00): Oak mug", "same listing as C1 (1.00): Oak mug"]
    assert steps["split"] == ["in no part (duplicate of G0)", "with 2 others that are kin, on one side together"]


def test_pictures_with_their_states_and_reasons(ask: Ask) -> None:
    assert [line.split(": ", 1)[1] for p in ("B0", "B1", "B3") for line in ask(p)["pictures"]] == [
        "zero.png: broken (zero bytes)",
        "lost.png: absent (no such file)",
        "none is named: absent (no picture is named)",
    ]
    (blank,) = ask("N3")["pictures"]
    assert ": placeholder, 200 x 200 px" in blank and "on 5 listings of 5 unrelated product groups" in blank


def test_a_dropped_row(ask: Ask) -> None:
    assert ask("X") == {
        "shop.csv, line 26, dropped: no title": [
            *("title and text attributes are empty", "sku: X", "kind: Mugs", "price: 1", "photo: 1.png", "lang: en")
        ]
    }


def test_a_second_row_with_an_id_is_told_beside_the_first(ask: Ask) -> None:
    dropped, kept, *_ = (steps := ask("G1"))
    assert dropped == "shop.csv, line 27, dropped: duplicate id" and kept == "shop.csv, line 3, read as product"
    assert steps[dropped][0] == "first seen in feed 0, line 3"


def test_rows_that_are_part_of_a_product(ask_shopify: Ask) -> None:
    steps = ask_shopify("oak-mug")
    head, variant, picture, *_ = steps
    assert head == "products.csv, line 2, read as product"
    assert variant == "products.csv, line 5, read as variant" and "Variant SKU: OM-L" in steps[variant]
    assert picture == "products.csv, line 7, read as picture row" and len(steps[picture]) == 3
    named = [line.split(": absent")[0] for line in steps["pictures"]]
    assert named == [
        *("main: https://cdn.example.test/oak1.jpg?v=1", "extra: https://cdn.example.test/oak2.jpg?v=1"),
        *("extra: https://cdn.example.test/oak3.jpg?v=1", "variant: https://cdn.example.test/oak-s.jpg"),
        "variant: https://cdn.example.test/oak-l.jpg",
    ]


def test_a_word_of_one_listing_means_it(ask_shopify: Ask) -> None:
    assert ask_shopify("OM-L") == ask_shopify("oak-mug")
    with pytest.raises(DataError):  # several have that vendor
        ask_shopify("Fernhill")


def test_an_unknown_id_names_near_ones(ask: Ask, ask_shopify: Ask) -> None:
    with pytest.raises(DataError, match=r"^no row of the feeds has the id 'oak_mug'; near it: oak-mug$"):
        ask_shopify("oak_mug")
    with pytest.raises(DataError, match=r"'~'; see items\.parquet and drops\.csv$"):
        ask("~")
