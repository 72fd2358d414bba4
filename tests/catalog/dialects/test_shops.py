"""Each shop system's feed, as exported and as copies of it look, without being told which it is."""

import csv
import io
import random
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.dialects.outcome import Outcome, outcome
from workbench.catalog.dialects.look import look
from workbench.catalog.dialects.products import products, tables
from workbench.errors import DataError
from workbench.recipe.schema import Feed

FEEDS = Path(__file__).parents[1] / "feeds"
CDN = "https://cdn.example.test"

OAK_MUG = {
    "title": "Oak Mug",
    "code": '["0012345678905", "0012345678912"]',
    "price": "9.50",
    "text.description": '<p>Turned "by hand".</p>\n<ul><li>300 ml</li></ul>',
    "text.brand": "Fernhill",
    "text.keywords": "kitchen, wood",
    "text.size": "S, L",
    "text.finish": "Oiled",
    "text.fit": "snug",
    "text.material": "オーク",
    "label.category": "Home & Garden > Kitchen > Mugs",
    "label.product_type": "Mugs",
    "pictures": [f"{CDN}/{p}" for p in ("oak1.jpg?v=1", "oak2.jpg?v=1", "oak3.jpg?v=1", "oak-s.jpg", "oak-l.jpg")],
}
SHOPIFY = Outcome(
    "shopify",
    {
        "oak-mug": OAK_MUG,
        "linen-tee": {
            "title": "Linen Tee",
            "price": "29.00",
            "text.description": "<p>Cool.</p>",
            "text.brand": "Fernhill",
            "text.color": "Sand, Navy",
            "label.category": "Apparel > Tops",
            "label.product_type": "Tees",
            "pictures": [f"{CDN}/tee.jpg", f"{CDN}/tee-navy.jpg"],
        },
        "tin-box": {
            "title": "Tin Box",
            "price": "3.00",
            "text.brand": "Acme",
            "label.product_type": "Boxes",
            "pictures": [],
        },
    },
    [("oak-mug", 5, "variant"), ("oak-mug", 7, "picture row"), ("linen-tee", 8, "variant")],
    [],
)
SHOPIFY_NEW = Outcome(
    "shopify",
    {
        "kite": {
            "title": "Kite",
            "price": "15.00",
            "text.description": "<p>Flies well</p>",
            "text.brand": "Acme",
            "text.keywords": "outdoor",
            "text.color": "Red, blue",
            "label.category": "Toys > Kites",
            "label.product_type": "Kite",
            "pictures": [f"{CDN}/k1.jpg", f"{CDN}/k2.jpg", f"{CDN}/k-red.jpg"],
        },
        "ball": {
            "title": "Ball",
            "code": "4006381333931",
            "price": "2.50",
            "text.description": "Bounces",
            "text.brand": "Acme",
            "label.category": "Toys",
            "label.product_type": "Ball",
            "pictures": [f"{CDN}/b.jpg"],
        },
    },
    [("kite", 3, "variant")],
    [],
)
GOOGLE = Outcome(
    "google",
    {
        "K-1-RED": {
            "title": 'Kite 12" Red',
            "group": "K-1",
            "code": "04006381333931",
            "price": "15.00 EUR",
            "text.description": 'Flies well, "really"',
            "text.brand": "Acme",
            "text.color": "Red",
            "label.category": "Toys & Games > Toys > Kites",
            "label.product_type": "Toys > Kites",
            "pictures": [f"https://ex.test/k{n}.jpg" for n in (1, 2, 3)],
        },
        "K-1-BLU": {
            "title": 'Kite 12" Blue',
            "group": "K-1",
            "price": "15.00 EUR",
            "text.description": "Flies well",
            "text.brand": "Acme",
            "text.color": "Blue",
            "label.category": "Toys & Games > Toys > Kites",
            "label.product_type": "Toys > Kites",
            "pictures": ["https://ex.test/kb.jpg"],
        },
        "B-2": {
            "title": "Ball",
            "price": "15,550.00 RUB",
            "text.description": "Bounces",
            "text.brand": "Acme",
            "text.color": "Green",
            "text.size": "M",
            "label.category": "936",
            "label.product_type": "Toys > Balls",
            "pictures": ["https://ex.test/b.jpg", "https://ex.test/b2.jpg", "https://ex.test/b3,w.jpg"],
        },
    },
    [],
    [],
)
WOOCOMMERCE = Outcome(
    "woocommerce",
    {
        "10": {
            "title": "Plain Tee",
            "code": "04006381333931",
            "price": "19,90",
            "text.description": "<p>Soft</p>\n<p>Path C:\\new</p>",
            "text.keywords": "cotton, basic",
            "text.color": "Red, Blue",
            "text.care": "Wash cold, gently",
            "label.category": "Clothing > Tees",
            "pictures": ["https://s.test/a.jpg", "https://s.test/b,2.jpg", "https://s.test/r.jpg"],
        },
        "20": {
            "title": "Album",
            "price": "15",
            "text.description": "Loud.",
            "text.summary": "Twelve songs",
            "label.category": "Music",
            "pictures": ["album-1.jpg"],
        },
        "21": {
            "title": "-10% Sale Lamp",
            "price": "7",
            "text.description": "Bright.",
            "label.category": "Home",
            "pictures": ["https://s.test/lamp.jpg"],
        },
        "30": {
            "title": "Lost Cap",
            "price": "9",
            "text.description": "Warm.",
            "text.color": "Grey",
            "pictures": ["https://s.test/cap.jpg"],
        },
        "40": {
            "title": "Tee and Album",
            "text.description": "Both.",
            "label.category": "Clothing",
            "pictures": ["https://s.test/set.jpg"],
        },
    },
    [("10", 2, "variant"), ("10", 4, "variant")],
    [],
)
MAGENTO = Outcome(
    "magento",
    {
        "LAMP": {
            "title": "Lamp",
            "price": "20",
            "text.description": "<p>Warm</p>",
            "text.brand": "Fernhill",
            "text.material": "oak, brass",
            "text.size": "S, L",
            "text.note": "wide, low",
            "text.spec": '{"a":"5\\" wide"}',
            "label.category": "Light > Table",
            "label.product_type": "Light",
            "pictures": [f"/l/a/{p}.jpg" for p in ("lamp", "l2", "l3", "lamp-l")],
        },
        "BULB": {
            "title": "Bulb",
            "price": "2",
            "text.description": "Bright",
            "label.category": "Light",
            "label.product_type": "Light",
            "pictures": ["/b/u/bulb.jpg"],
        },
    },
    [("LAMP", 2, "variant"), ("LAMP", 4, "language de_DE"), ("LAMP", 5, "variant"), ("LAMP", 6, "language de_DE")],
    [],
)
MAGENTO_1 = Outcome(
    "magento-1",
    {
        "A1": {
            "title": "Mug",
            "price": "9",
            "text.description": "Oak mug",
            "label.category": "Home/Mugs",
            "label.product_type": "Default",
            "pictures": ["/a/1.jpg", "/a/2.jpg"],
        },
        "A2": {
            "title": "Cup",
            "price": "5",
            "text.description": "Tin cup",
            "label.category": "Home/Cups",
            "label.product_type": "Default",
            "pictures": [],
        },
    },
    [("A1", 3, "continued row"), ("A1", 4, "continued row")],
    [],
)
BIGCOMMERCE = Outcome(
    "bigcommerce",
    {
        "101": {
            "title": "Oak Shirt",
            "code": '["4006381333931", "4006381333948"]',
            "price": "30.00",
            "text.description": "<p>Soft</p>",
            "text.brand": "Fernhill",
            "text.keywords": "shirt, oak",
            "text.material": "Cotton",
            "text.fit": "Slim",
            "text.size": "M, L",
            "text.color": "Red",
            "label.category": "Clothing > Shirts",
            "pictures": ["shirt-front.jpg", "shirt-back.jpg", "shirt-l.jpg"],
        },
        "102": {
            "title": "Pot",
            "price": "12.00",
            "text.description": "Holds 2 l",
            "text.brand": "Acme",
            "label.category": "Home > Kitchen",
            "pictures": ["pot.jpg"],
        },
    },
    [("101", 3, "variant"), ("101", 4, "variant"), ("101", 5, "rule")],
    [],
)
BIGCOMMERCE_V3 = Outcome(
    "bigcommerce",
    {
        "101": {
            "title": "Oak Shirt",
            "code": "4006381333931",
            "price": "30",
            "text.description": "<p>Soft</p>",
            "text.keywords": "shirt",
            "text.size": "M",
            "label.category": "12",
            "pictures": ["https://ex.test/front.jpg", "https://ex.test/back.jpg", "https://ex.test/m.jpg"],
        },
        "102": {
            "title": "Pot",
            "price": "12",
            "text.description": "Holds 2 l",
            "text.keywords": "pot",
            "label.category": "14",
            "pictures": [],
        },
    },
    [("101", 3, "variant"), ("101", 4, "picture row"), ("101", 5, "picture row")],
    [],
)
PRESTASHOP = Outcome(
    "prestashop",
    {
        "7": {
            "title": "Blue Pot",
            "code": "4006381333931",
            "price": "12,5",
            "text.description": '<p>Holds 2 l; "never" leaks</p>',
            "text.summary": "<p>For soup</p>",
            "text.brand": "Fernhill",
            "text.keywords": "kitchen, blue",
            "text.material": "Enamel",
            "text.height": "20 cm",
            "label.category": "Pots",
            "pictures": ["https://p.test/1.jpg", "https://p.test/2.jpg"],
        },
        "8": {
            "title": "Lid",
            "price": "3",
            "text.description": "Fits",
            "text.brand": "Fernhill",
            "label.category": "Pots",
            "pictures": ["http://localhost/img/3.jpg"],
        },
    },
    [],
    [],
)
VENDURE = Outcome(
    "vendure",
    {
        "ring": {
            "title": "Ring",
            "price": "99",
            "text.description": "Gold, plain",
            "text.brand": "Acme",
            "text.metal": "gold",
            "text.size": "6, 7",
            "text.stone": "Ruby, Opal",
            "pictures": ["r1.jpg", "r2.jpg", "r6.jpg"],
        },
        "lap": {
            "title": "Laptop",
            "price": "1200",
            "text.description": "Fast",
            "label.category": "Electronics, Computers",
            "pictures": ["https://v.test/l.jpg"],
        },
    },
    [("ring", 3, "variant")],
    [],
)
MEDUSA_1 = Outcome(
    "medusa",
    {
        "prod_1": {
            "title": "Tee",
            "code": '["4006381333931", "4006381333948"]',
            "price": "10 USD",
            "text.description": "Made of cotton",
            "text.summary": "Soft",
            "text.material": "cotton",
            "text.keywords": "basic,cotton",
            "text.size": "S, M",
            "label.category": "Summer",
            "label.product_type": "Shirt",
            "pictures": ["https://m.test/1.jpg", "https://m.test/2.jpg"],
        },
        "prod_2": {
            "title": "Cap",
            "price": "5 USD",
            "text.description": "Warm",
            "label.product_type": "Hat",
            "pictures": ["https://m.test/3.jpg"],
        },
    },
    [("prod_1", 3, "variant")],
    [],
)
MEDUSA_2 = Outcome(
    "medusa",
    {
        "tee": {
            "title": "Tee",
            "price": "11 USD",
            "text.description": "Made of cotton",
            "text.material": "cotton",
            "text.keywords": "basic",
            "text.keywords (2)": "cotton",
            "text.size": "S, M",
            "text.color": "Red",
            "pictures": ["https://m.test/1.jpg", "https://m.test/2.jpg"],
        },
        "cap": {"title": "Cap", "price": "6 USD", "text.description": "Warm", "pictures": ["https://m.test/3.jpg"]},
    },
    [("tee", 3, "variant")],
    [],
)
SALEOR = Outcome(
    "saleor",
    {
        "UHJvZHVjdDox": {
            "title": "Apple Juice",
            "price": "3 USD",
            "text.description": "Fell straight from the <b>tree</b>.\n1 l\n2 l",
            "text.brand": "Acme",
            "text.size": "1l, 2l",
            "label.category": "juices",
            "label.product_type": "Juice",
            "pictures": ["https://s.test/j1.png", "https://s.test/j2.png", "https://s.test/j1-l.png"],
        },
        "UHJvZHVjdDoy": {
            "title": "Cushion",
            "price": "12 USD",
            "text.brand": "Fernhill",
            "label.category": "home",
            "label.product_type": "Cushion",
            "pictures": ["https://s.test/c.png"],
        },
    },
    [("UHJvZHVjdDox", 3, "variant")],
    [],
)
EBAY = Outcome(
    "ebay",
    {
        "E-1": {
            "title": "Stool",
            "group": "G-1",
            "code": "4006381333931",
            "language": "en_US",
            "text.description": "Oak stool",
            "text.brand": "Fernhill",
            "text.material": "Oak",
            "text.height": "45 cm",
            "pictures": ["https://e.test/1.jpg", "https://e.test/2.jpg"],
        },
        "E-2": {
            "title": "Stool, high",
            "group": "G-1",
            "language": "en_US",
            "text.description": "Oak stool",
            "text.brand": "Fernhill",
            "text.material": "Oak",
            "text.height": "60 cm",
            "pictures": ["https://e.test/3.jpg"],
        },
    },
    [("E-1", 3, "language de_DE")],
    [],
)
FIXTURES = {
    "shopify/products_export.csv": SHOPIFY,
    "shopify/products_new.csv": SHOPIFY_NEW,
    "google/feed.tsv": GOOGLE,
    "woocommerce/wc-product-export.csv": WOOCOMMERCE,
    "magento/catalog_product.csv": MAGENTO,
    "magento-1/catalog_product.csv": MAGENTO_1,
    "bigcommerce/products.csv": BIGCOMMERCE,
    "bigcommerce/products_v3.csv": BIGCOMMERCE_V3,
    "prestashop/products_import.csv": PRESTASHOP,
    "vendure/products.csv": VENDURE,
    "medusa/v1.csv": MEDUSA_1,
    "medusa/v2.csv": MEDUSA_2,
    "saleor/products.csv": SALEOR,
    "ebay/product.tsv": EBAY,
}


@pytest.mark.parametrize("name", FIXTURES)
def test_the_feed_as_exported(name: str) -> None:
    assert outcome(FEEDS / name) == FIXTURES[name]


# --- the same feeds as copies of them look


def _rows(name: str) -> list[list[str]]:
    text = (FEEDS / name).read_text("utf-8-sig")
    if name == "google/feed.tsv":  # inches, not quotes
        return [line.split("\t") for line in text.splitlines()]
    delimiter = "\t" if name.endswith(".tsv") else ";" if text.split("\n")[0].count(";") > 5 else ","
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace="vendure" in name))


def _write(path: Path, rows: list[list[str]], **how: Any) -> Path:
    with path.open("w", newline="", encoding=how.pop("encoding", "utf-8")) as file:
        csv.writer(file, **how).writerows(rows)
    return path


def _shuffled(rows: list[list[str]], seed: int) -> list[list[str]]:
    """The columns in another order; columns of one word stay in theirs."""
    words = [word.strip() for word in rows[0]]
    order = list(range(len(words)))
    random.Random(seed).shuffle(order)
    turn = {word: iter([at for at, w in enumerate(words) if w == word]) for word in words}
    order = [next(turn[words[at]]) for at in order]
    return [[row[at] for at in order] for row in rows]


@pytest.mark.parametrize("name", FIXTURES)
@pytest.mark.parametrize(
    "copy", ["shuffled", "upper case", "lower case", "CRLF", "BOM", "TSV", "UTF-16", "more columns"]
)
def test_copies_of_the_feed(tmp_path: Path, name: str, copy: str) -> None:
    rows, path, how = _rows(name), tmp_path / "feed.csv", {}
    if copy == "shuffled":
        rows = _shuffled(rows, len(name))
    elif copy.endswith("case"):
        rows[0] = [word.upper() if copy == "upper case" else word.lower() for word in rows[0]]
    elif copy == "more columns":
        rows = [["bin" if at else "Warehouse bin", *row, "Zone"] for at, row in enumerate(rows)]
    elif copy == "TSV":
        path, how = tmp_path / "feed.tsv", {"delimiter": "\t"}
    else:
        how = {"CRLF": {"lineterminator": "\r\n"}, "BOM": {"encoding": "utf-8-sig"}}.get(copy, {"encoding": "utf-16"})
    found = outcome(_write(path, rows, **{"lineterminator": "\n", **how}))
    assert found == FIXTURES[name]


REQUIRED = {
    "shopify/products_export.csv": ("Handle", "Title", "Image Src", "Option1 Name", "Option1 Value"),
    "shopify/products_new.csv": ("Title", "URL handle", "Product image URL", "SKU"),
    "google/feed.tsv": ("id", "title", "image_link", "price", "availability", "brand"),
    "woocommerce/wc-product-export.csv": (
        "ID",
        "Type",
        "SKU",
        "Name",
        "Regular price",
        "Images",
        "Parent",
        "Categories",
    ),
    "magento/catalog_product.csv": (
        *("sku", "store_view_code", "product_type", "name", "base_image", "additional_attributes"),
        "configurable_variations",
    ),
    "bigcommerce/products.csv": (
        "Item Type",
        "Product ID",
        "Product Name",
        "Product Code/SKU",
        "Product Image File - 1",
    ),
    "prestashop/products_import.csv": ("Product ID", "Name *", "Categories (x,y,z...)", "Image URLs (x,y,z...)"),
    "vendure/products.csv": ("name", "slug", "assets", "optionGroups", "optionValues", "sku", "price"),
    "medusa/v1.csv": (
        "Product Id",
        "Product Handle",
        "Product Title",
        "Product Thumbnail",
        "Variant SKU",
        "Image 1 Url",
    ),
    "medusa/v2.csv": (
        "Product Handle",
        "Product Title",
        "Variant Option 1 Name",
        "Variant Option 1 Value",
        "Variant SKU",
    ),
    "saleor/products.csv": ("id", "name", "variant sku", "product media", "category", "product type"),
}


@pytest.mark.parametrize("name", REQUIRED)
def test_only_the_columns_that_must_be_there(tmp_path: Path, name: str) -> None:
    rows = _rows(name)
    kept = [next(at for at, word in enumerate(rows[0]) if word.strip() == wanted) for wanted in REQUIRED[name]]
    found = outcome(_write(tmp_path / "feed.csv", [[row[at] for at in kept] for row in rows]))
    whole = FIXTURES[name]
    assert found.dialect == whole.dialect
    assert [(item, role) for item, _, role in found.joined] == [(item, role) for item, _, role in whole.joined]
    titles = {item: said["title"] for item, said in whole.items.items()}
    assert {item: said["title"] for item, said in found.items.items()} == titles
    for item, said in found.items.items():
        assert set(said["pictures"]) <= set(whole.items[item]["pictures"])


# --- what one fixture a format doesn't show


def test_languages_of_magento() -> None:
    found = outcome(FEEDS / "magento/catalog_product.csv", language="de")
    lamp = MAGENTO.items["LAMP"] | {
        "title": "Lampe",
        "language": "de_DE",
        "text.description": "<p>Warmes Licht</p>",
        "text.material": "Eiche",
    }
    assert found.items == {"LAMP": lamp, "BULB": MAGENTO.items["BULB"]} and found.joined == MAGENTO.joined


def test_languages_of_ebay() -> None:
    found = outcome(FEEDS / "ebay/product.tsv", language="de")
    assert found.items["E-1"]["title"] == "Hocker" and found.items["E-1"]["text.material"] == "Eiche"
    assert found.items["E-2"]["title"] == "Stool, high"  # there is no other


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (None, {"title": "Ring", "text.description": "Gold", "text.metal": "gold", "text.size": "6, 7"}),
        ("de", {"title": "Ring(de)", "text.description": "Golden", "text.metall": "Gold", "text.size": "6, 7"}),
    ],
)
def test_languages_of_vendure(language: str | None, said: dict[str, str]) -> None:
    found = outcome(FEEDS / "vendure/languages.csv", language=language)
    assert found.dialect == "vendure" and found.joined == [("ring", 3, "variant")]
    assert found.items == {"ring": {**said, "price": "99", "pictures": ["r1.jpg"]}}


@pytest.mark.parametrize(
    ("name", "first", "pictures"),
    [
        ("feed.xml", {"title": "Kite", "group": "K-1", "text.description": "<b>Flies</b> well"}, 3),
        ("feed.atom.xml", {"title": "Kite", "text.summary": "Flies"}, 2),
        ("template.csv", {"title": "Kite", "group": "K-1", "text.description": "Flies", "code": "04006381333931"}, 3),
        ("meta.csv", {"title": "Kite", "group": "K-1", "text.description": "Flies", "label.category": "Toys"}, 2),
    ],
)
def test_googles_cousins(name: str, first: dict[str, str], pictures: int) -> None:
    found = outcome(FEEDS / "google" / name)
    kite = found.items["K-1-RED"]
    assert found.dialect == "google" and kite | first == kite and kite["text.brand"] == "Acme"
    assert kite["pictures"] == [f"https://ex.test/k{n}.jpg" for n in range(1, pictures + 1)]
    assert kite["price"] == "15.00 EUR" and len(found.items) == 2 and not found.joined and not found.bad


def test_an_item_may_write_its_title_with_googles_namespace() -> None:
    assert outcome(FEEDS / "google/feed.xml").items["B-2"]["title"] == "Ball & net"


def test_woocommerce_in_french() -> None:
    found = outcome(FEEDS / "woocommerce/wc-french.csv")
    assert found.dialect == "woocommerce" and found.joined == [("10", 3, "variant")]
    assert found.items["10"] == {
        "title": "T-shirt uni",
        "price": "19,90",
        "text.description": "<p>Coton</p>\n",
        "text.summary": "Doux",
        "text.keywords": "coton",
        "text.color": "Rouge, Bleu",
        "label.category": "Vêtements > T-shirts",
        "pictures": ["https://s.test/a.jpg", "https://s.test/r.jpg"],
    }


@pytest.mark.parametrize(
    "header",
    [
        "ID,Typ,Artikelnummer,Name,Kurzbeschreibung,Beschreibung,Regulärer Preis,Kategorien,Bilder,"
        "Übergeordnetes Produkt,Name des Attributs 1,Wert(e) des Attributs 1",
        "ID,Tipo,SKU,Nombre,Descripción corta,Descripción,Precio normal,Categorías,Imágenes,Superior,"
        "Nombre del atributo 1,Valor(es) del atributo 1",
        "ID,Tipo,COD,Nome,Breve descrizione,Descrizione,Prezzo di listino,Categorie,Immagini,Genitore,"
        "Nome dell'attributo 1,Valore dell'attributo 1",
        "ID,Type,SKU,Naam,Korte beschrijving,Beschrijving,Reguliere prijs,Categorieën,Afbeeldingen,Bovenliggend,"
        "Attribuut 1 naam,Attribuut 1 waarde(n)",
        "ID,Тип,Артикул,Имя,Короткое описание,Описание,Базовая цена,Категории,Изображения,Родительский,"
        "Имя атрибута 1,Значения атрибута 1",
        "ID,Typ,SKU,Nazwa,Krótki opis,Opis,Cena regularna,Kategorie,Obrazki,Nadrzędny,"
        "Nazwa atrybutu 1,Wartości atrybutu 1",
    ],
)
def test_woocommerce_in_other_languages(tmp_path: Path, header: str) -> None:
    path = tmp_path / "wc.csv"
    path.write_text(
        f'{header}\n10,variable,tee,Tee,soft,<p>a</p>\\n,,Tops > Tees,a.jpg,,Fit,"S, L"\n'
        "11,variation,tee-s,Tee S,,,9,,b.jpg,tee,Fit,S\n"
    )
    found = outcome(path)
    assert found.dialect == "woocommerce" and found.joined == [("10", 3, "variant")]
    assert found.items["10"] == {
        "title": "Tee",
        "price": "9",
        "text.description": "<p>a</p>\n",
        "text.summary": "soft",
        "text.fit": "S, L",
        "label.category": "Tops > Tees",
        "pictures": ["a.jpg", "b.jpg"],
    }


def test_translations_of_woocommerce(tmp_path: Path) -> None:
    path = tmp_path / "wc.csv"
    path.write_text(
        "ID,Type,SKU,Name,Description,Regular price,Categories,Images,Parent,Meta: _wpml_import_language_code,"
        "Meta: _wpml_import_translation_group\n"
        "1,simple,mug,Mug,Oak,9,Home,a.jpg,,en,g1\n2,simple,mug-de,Becher,Eiche,9,Haus,a.jpg,,de,g1\n"
        "3,simple,cup,Cup,Tin,9,Home,b.jpg,,en,g2\n"
    )
    assert outcome(path).items["1"]["title"] == "Mug" and outcome(path).joined == [("1", 3, "language de")]
    found = outcome(path, language="de-AT")
    assert {item["title"] for item in found.items.values()} == {"Becher", "Cup"}


def test_variations_of_a_translation(tmp_path: Path) -> None:
    path = tmp_path / "wc.csv"
    path.write_text(
        "ID,Type,SKU,Name,Regular price,Images,Parent,Attribute 1 name,Attribute 1 value(s),"
        "Meta: _wpml_import_language_code,Meta: _wpml_import_translation_group\n"
        '1,variable,tee,Tee,9,a.jpg,,Colour,"Red, Blue",en,g1\n2,variable,tee,Hemd,9,a.jpg,,Colour,"Rot, Blau",de,g1\n'
        "3,variation,tee-r,Tee red,9,r.jpg,tee,Colour,Red,en,g2\n"
        "4,variation,tee-r,Hemd rot,9,r.jpg,tee,Colour,Rot,de,g2\n"
    )
    assert outcome(path).items["1"]["text.color"] == "Red, Blue"
    found = outcome(path, language="de")
    (tee,) = found.items.values()
    assert (tee["title"], tee["text.color"], tee["pictures"]) == ("Hemd", "Rot, Blau", ["a.jpg", "r.jpg"])


def test_prestashops_combinations_beside_the_products() -> None:
    found = outcome(FEEDS / "prestashop")
    assert found.dialect == "prestashop" and found.joined == [("7", 2, "variant"), ("7", 3, "variant")]
    assert found.items["8"] == PRESTASHOP.items["8"]
    assert found.items["7"] == PRESTASHOP.items["7"] | {
        "code": '["4006381333931", "4006381333948"]',
        "text.color": "Blue",
        "text.size": "L, S",
        "pictures": ["https://p.test/1.jpg", "https://p.test/2.jpg", "https://p.test/l.jpg"],
    }


def test_titles_may_repeat_or_come_late(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(
        "Handle,Title,Variant SKU,Option1 Name,Option1 Value,Image Src\n"
        "mug,,M-2,,L,b.jpg\nmug,Mug,M-1,Size,S,a.jpg\ncup,Cup,C-1,Size,S,c.jpg\ncup,Cup,C-2,Size,L,c.jpg\n"
    )
    found = outcome(path)
    assert found.joined == [("mug", 2, "variant"), ("cup", 5, "variant")]
    assert found.items["mug"] == {"title": "Mug", "text.size": "S, L", "pictures": ["a.jpg", "b.jpg"]}


def test_a_metafield_that_only_refers_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(
        "Handle,Title,Image Src,Fit (product.metafields.custom.fit),Care(product.metafields.custom.care)\n"
        'mug,Mug,a.jpg,gid://shopify/Metaobject/1,"by hand; cold"\n'
    )
    assert outcome(path).items["mug"] == {"title": "Mug", "text.care": "by hand, cold", "pictures": ["a.jpg"]}


@pytest.mark.parametrize("name", ["shopify/products_export.csv", "magento/catalog_product.csv", "google/feed.tsv"])
def test_rows_may_come_in_any_order(tmp_path: Path, name: str) -> None:
    header, *rows = _rows(name)
    random.Random(1).shuffle(rows)
    assert outcome(_write(tmp_path / "feed.csv", [header, *rows])).items == FIXTURES[name].items


def test_parents_in_a_circle_and_rows_that_name_themselves_stay(tmp_path: Path) -> None:
    path = tmp_path / "wc.csv"
    path.write_text(
        "ID,Type,SKU,Name,Regular price,Categories,Images,Parent\n"
        "1,variation,a,A,1,X,a.jpg,b\n2,variation,b,B,1,X,b.jpg,a\n3,variation,c,C,1,X,c.jpg,c\n"
    )
    found = outcome(path)
    assert len(found.items) + len(found.joined) == 3 and "3" in found.items


def test_variants_before_any_product_stay(tmp_path: Path) -> None:
    path = tmp_path / "vendure.csv"
    path.write_text("name,slug,assets,optionGroups,optionValues,sku,price\n,,,,7,R-7,9\nRing,ring,r.jpg,Size,6,R-6,9\n")
    found = outcome(path)
    assert found.items["R-6"]["title"] == "Ring" and set(found.items) == {"R-6", "R-7"} and not found.joined


ODD = ("", "  ", "|", "\\,", "{", '["a",', "=", ":", "id:", "id:1", "Default Title", "sku=|", "[RT]", "a=b=c", "'=1")


@pytest.mark.parametrize("name", FIXTURES)
def test_every_row_of_a_broken_feed_is_a_product_or_part_of_one_or_bad(tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    for copy in range(3):
        rows = _rows(name)
        for _ in range(15):
            row = draw.choice(rows)
            row[draw.randrange(len(row))] = draw.choice((*ODD, *draw.choice(rows)))
            rows.insert(draw.randrange(1, len(rows)), list(draw.choice(rows[1:])))
        source = Feed(path=_write(tmp_path / f"{copy}.csv", rows))
        try:
            reading = look(source, "catalog.feeds.0")
        except DataError:  # no column for the id or the title is left
            continue
        parts = list(products(source, reading))
        assert sum(len(p.lines) + p.joined.height + len(p.bad) for p in parts) == sum(t.rows for t in tables(source))
        assert all((p.joined["index"] < p.cells.height).all() for p in parts)
