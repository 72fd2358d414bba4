"""What feeds of known formats hold that our fixtures don't: met in shops' own exports, here with invented data."""

from pathlib import Path

import polars as pl
import pytest

from workbench.catalog.dialects.look import look
from workbench.catalog.dialects.products import products
from workbench.recipe.schema import Columns, Feed


def read(tmp_path: Path, text: str, name: str = "feed.csv") -> tuple[str, Columns, pl.DataFrame]:
    """The dialect, the roles, and the products' cells of a feed."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    feed = Feed(path=tmp_path / name)
    found = look(feed, "catalog.feeds.0")
    return found.dialect, found.columns, pl.concat([p.cells for p in products(feed, found)], how="diagonal")


def test_prestashop_with_semicolons_within_its_lists(tmp_path: Path) -> None:
    dialect, columns, cells = read(
        tmp_path,
        "Product ID,Active (0/1),Name *,Categories (x;y;z...),Price tax excluded or Price tax included,Unit price,"
        "Tags (x;y;z...),Image URLs (x;y;z...)\n1,1,Pot,Home;Pots,9.5,,red; pot,http://p.test/1.jpg;http://p.test/2.jpg\n",
    )
    assert dialect == "prestashop"
    assert (cells[columns.price or ""][0], cells[columns.labels["category"]][0]) == ("9.5", "Pots")
    assert cells[columns.picture or ""][0] == '["http://p.test/1.jpg", "http://p.test/2.jpg"]'


def test_what_magento_writes_about_itself_is_no_attribute(tmp_path: Path) -> None:
    dialect, columns, _ = read(
        tmp_path,
        "sku,attribute_set_code,product_type,name,product_websites,additional_attributes\n"
        'L1,Default,simple,Lamp,base,"has_options=0,material=Oak,quantity_and_stock_status=In Stock"\n',
    )
    assert (dialect, columns.text) == ("magento", {"material": "material"})


@pytest.mark.parametrize(
    "word",
    [
        "Related (product.metafields.shopify--discovery--product_recommendation.related_products)",
        "Google: Custom Product (product.metafields.mm-google-shopping.custom_product)",
    ],
)
def test_metafields_of_the_shop_are_no_attributes(tmp_path: Path, word: str) -> None:
    dialect, columns, _ = read(
        tmp_path,
        f"Handle,Title,Body (HTML),Image Src,Fit (product.metafields.custom.fit),{word}\nmug,Mug,,,snug,a-mug\n",
    )
    assert (dialect, set(columns.text)) == ("shopify", {"description", "fit"})


@pytest.mark.parametrize(
    ("header", "row", "price"),
    [
        ("price,currency", "19.90,EUR", "19.90 EUR"),
        ("price,currency", "19.90 GBP,EUR", "19.90 GBP"),
        ("price,currency", "19.90,", "19.90"),
        ("price_usd", "5", "5 USD"),
        ("Preis (€)", '"1.299,00"', "1.299,00 EUR"),
        ("price", "5", "5"),
        ("price,currency", "ask,EUR", "ask"),
    ],
)
def test_a_currency_beside_the_price(tmp_path: Path, header: str, row: str, price: str) -> None:
    _, columns, cells = read(tmp_path, f"id,title,{header}\n1,Oak mug,{row}\n")
    assert cells[columns.price or ""][0] == price


def test_a_column_without_cells_gives_way(tmp_path: Path) -> None:
    _, columns, _ = read(tmp_path, "id,title,gtin,barcode,brand,manufacturer\n1,Oak mug,,4006381333931,,Acme\n")
    assert (columns.code, columns.text["brand"]) == ("barcode", "manufacturer")


def test_details_of_amazon_without_its_ranks(tmp_path: Path) -> None:
    details = '{"Color:": "Red", "ASIN": "B1", "Best Sellers Rank": {"Beauty": 3}}'
    line = (
        f'{{"parent_asin": "B1", "main_category": "Beauty", "title": "Brush", "store": "Acme", "details": {details}}}'
    )
    dialect, columns, cells = read(tmp_path, line + "\n", "meta_Beauty.jsonl")
    assert (dialect, columns.text) == ("amazon-reviews", {"brand": "store", "color": "Color"})
    assert cells["Color"][0] == "Red"


def test_food_in_its_main_language(tmp_path: Path) -> None:
    names = '[{"lang": "main", "text": "Pâte"}, {"lang": "en", "text": "Spread"}, {"lang": "fr", "text": "Pâte"}]'
    line = f'{{"code": "3017620422003", "categories_tags": ["en:spreads"], "brands": "A", "product_name": {names}, '
    line += '"main_category": "Spreads", "pnns_groups_1": "Sugary snacks", "ingredients_text": "sugar"}\n'
    dialect, columns, cells = read(tmp_path, line, "food.jsonl")
    assert (dialect, cells[columns.title][0]) == ("open-food-facts", "Pâte")
    assert set(columns.labels) == {"category", "categories"}


def test_flipkart_without_its_longer_columns(tmp_path: Path) -> None:
    header = "uniq_id,product_name,pid,retail_price,discounted_price,is_FK_Advantage_product,overall_rating,brand"
    dialect, columns, _ = read(tmp_path, f"{header}\nu1,Towel,P1,999,379,False,No rating available,Acme\n")
    assert (dialect, columns.labels, columns.price) == ("flipkart", {}, "discounted_price")


def test_dicts_that_python_printed(tmp_path: Path) -> None:
    lines = "{'asin': '0001', 'title': \"Kid's 12in kite\", 'imUrl': 'http://i.test/1', 'price': 9.10, 'brand': None}\n"
    lines += "{'asin': '0002', 'title': 'Oak mug', 'imUrl': 'http://i.test/2', 'categories': [['Home', 'Mugs']]}\n"
    dialect, columns, cells = read(tmp_path, lines + "{'asin': oops\n", "meta_Toys.json")
    assert (dialect, cells[columns.title].to_list()) == ("amazon-reviews", ["Kid's 12in kite", "Oak mug"])
    assert cells[columns.price or ""].to_list() == ["9.1", None]
    assert cells[columns.labels["category"]].to_list() == [None, "Home > Mugs"]


def test_new_products_of_medusa_have_a_handle_only(tmp_path: Path) -> None:
    dialect, columns, cells = read(
        tmp_path,
        "Product Id,Product Handle,Product Title,Product Thumbnail,Variant Option 1 Name,Variant Option 1 Value\n"
        "prod_1,tee,Tee,a.jpg,Size,S\n,tee,Tee,,Size,M\n,cap,Cap,b.jpg,Size,S\n,cap,Cap,,Size,L\n",
    )
    assert (dialect, cells[columns.id].to_list()) == ("medusa", ["prod_1", "cap"])
    assert cells[columns.text["size"]].to_list() == ["S, M", "S, L"]


@pytest.mark.parametrize(
    "cell",
    [
        "General:Fabric:Cotton,:Made in:Peru",
        '[{"attribute_name": "Fabric", "attribute_value": "Cotton"}, '
        '{"attribute_name": "Made in", "attribute_value": "Peru"}]',
    ],
)
def test_details_and_highlights_of_google(tmp_path: Path, cell: str) -> None:
    header = "id\ttitle\timage_link\tavailability\tgtin\tproduct_detail\tproduct_highlight\tproduct_highlight"
    dialect, columns, cells = read(
        tmp_path, f"{header}\n1\tKite\thttps://k.test/1\tin stock\t\t{cell}\tLight\tStrong\n"
    )
    assert dialect == "google"
    assert {name: cells[word][0] for name, word in columns.text.items()} == {
        "features": "Light",
        "features (2)": "Strong",
        "material": "Cotton",
        "made in": "Peru",
    }


def test_objects_in_listings_of_no_known_format(tmp_path: Path) -> None:
    line = '{"sku": "S1", "name": {"en": "Oak chair", "de": "Eichenstuhl"}, "brand": {"name": "Acme"}, '
    line += '"attributes": {"color": "red"}, "specs": "Two words", "categories": [{"id": 1, "name": "Home"}]}\n'
    dialect, columns, cells = read(tmp_path, line, "feed.jsonl")
    assert (dialect, cells[columns.title][0], cells[columns.labels["category"]][0]) == ("plain", "Oak chair", "Home")
    texts = {name: cells[word][0] for name, word in columns.text.items()}
    assert texts == {"brand": "Acme", "color": "red", "specs": "Two words"}


def test_codes_that_spreadsheets_shall_not_count(tmp_path: Path) -> None:
    header = "Handle,Title,Body (HTML),Variant Barcode,Image Src"
    _, columns, cells = read(tmp_path, f"{header}\nmug,Mug,,'04006381333931,a.jpg\n")
    assert cells[columns.code or ""][0] == "04006381333931"


def test_addresses_of_pictures_and_their_captions(tmp_path: Path) -> None:
    rows = "".join(f"https://i.test/{row}.jpg,an oak lamp {row},0.3\n" for row in range(3))
    dialect, columns, _ = read(tmp_path, f"URL,TEXT,similarity\n{rows}")
    assert (dialect, columns.id, columns.title, columns.picture) == ("plain", "URL", "TEXT", "URL")
