"""Guesses from header words and cells."""

from pathlib import Path

import pytest

from workbench.catalog.dialects.dialect import Reading
from workbench.catalog.dialects.language import language as language_of
from workbench.catalog.dialects.look import look, recipe_tree
from workbench.catalog.dialects.products import products
from workbench.catalog.dialects.words import folded
from workbench.errors import DataError
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Columns, Feed


def guess(path: Path, key: str = "catalog.feeds.0") -> Reading:
    return look(Feed(path=path), key)


def write(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "feed.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("word", "as_compared"),
    [(" Item_Group-ID ", "itemgroupid"), ("Image link [image_link]", "imagelink"), ("g:title", "title")],
)
def test_header_words_are_compared_without_case_and_signs(word: str, as_compared: str) -> None:
    assert folded(word) == as_compared


def test_google(tmp_path: Path) -> None:
    header = "id,title,description,link,image_link,price,brand,gtin,product_type,item_group_id,color,size"
    found = guess(write(tmp_path, header, "1,Mug,Nice mug,https://x.test,https://x.test/1.jpg,1 EUR,A,4,Home,g,red,S"))
    assert found.columns == Columns(
        id="id",
        title="title",
        text={"description": "description", "brand": "brand", "color": "color", "size": "size"},
        labels={"product_type": "product_type"},
        group="item_group_id",
        picture="image_link",
        code="gtin",
        price="price",
    )
    assert "title              <- 'title' (header word)" in found.said
    assert "ignored            <- 'link' (address)" in found.said
    assert len(found.said) == 13  # the format, then every header word once


def test_shopify(tmp_path: Path) -> None:
    header = "Handle,Title,Body (HTML),Vendor,Type,Tags,Variant SKU,Variant Price,Image Src,Image Position,Status"
    found = guess(write(tmp_path, header, "mug,Mug,<p>x</p>,Fern,Mugs,a,M-1,9.50,https://x.test/a.jpg,1,active"))
    columns = found.columns
    assert (found.dialect, columns.id, columns.group, columns.title) == ("shopify", "Handle", None, "Title")
    assert columns.text == {"description": "Body (HTML)", "brand": "Vendor", "keywords": "Tags"}
    assert columns.labels == {"product_type": "Type"} and columns.picture == "Image Src"


def test_woocommerce(tmp_path: Path) -> None:
    header = "\ufeff" + 'ID,SKU,Name,"Short description",Description,"Regular price",Categories,Images'
    found = guess(write(tmp_path, header, "1,tee,Plain Tee,Short,Long,9,Tees,a.jpg"))
    assert (found.columns.id, found.columns.title, found.columns.picture) == ("ID", "Name", "Images")
    assert found.columns.text == {"description": "Description", "summary": "Short description"}
    assert any(line.endswith("'SKU' (another id)") for line in found.said)


def test_unknown_words_are_told_by_their_cells(tmp_path: Path) -> None:
    rows = [
        f"{'AB'[i % 2]},K{i},blue oak mug number {i},shot{i}.png,2024-01-0{i},{i}.5,two words" for i in range(1, 10)
    ]
    found = guess(write(tmp_path, "alfa,bravo,charlie,delta,echo,foxtrot,golf", *rows)).columns
    assert (found.id, found.title, found.picture) == ("bravo", "charlie", "delta")
    assert found.text == {"golf": "golf"} and found.labels == {}  # nine rows are too few to call two values a label


def test_few_values_make_a_label(tmp_path: Path) -> None:
    rows = [f"{i},Mug {i},{'AB'[i % 2]},{i % 3}" for i in range(30)]
    assert guess(write(tmp_path, "id,title,alfa,bravo", *rows)).columns.labels == {"alfa": "alfa"}


def test_two_columns_of_one_word(tmp_path: Path) -> None:
    found = guess(write(tmp_path, "id,title,Brand,brand", "1,Mug,Oak & Co,Fern & Co", "2,Cup,Oak & Co,Fern & Co"))
    assert found.columns.text == {"brand": "Brand", "brand (2)": "brand"}


def test_no_id_and_no_title(tmp_path: Path) -> None:
    path = write(tmp_path, "alfa,bravo", "1,x", "1,x")
    with pytest.raises(DataError) as error:
        guess(path, "catalog.feeds.1")
    assert str(error.value) == (
        f"{path}: found no column for the id and the title; header words: alfa, bravo. "
        "Write a recipe that names them: catalog.feeds.1.columns.id, catalog.feeds.1.columns.title"
    )


def test_the_recipe_of_a_bare_feed(tmp_path: Path) -> None:
    path = write(tmp_path, "sku,name,photo", "1,Mug,1.png")
    tree, said = recipe_tree(path)
    columns = {"id": "sku", "title": "name", "picture": "photo"}
    assert tree == {"name": "feed", "catalog": {"feeds": [{"path": "feed.csv", "pictures": ".", "columns": columns}]}}
    assert len(said) == 4
    (tmp_path / "feed.tar").touch()
    tree, _ = recipe_tree(path)
    feed = recipe_from_tree(tree, tmp_path).catalog.feeds[0]
    assert (feed.path, feed.pictures) == (path, tmp_path / "feed.tar")


def test_numbered_pictures_come_in_their_order(tmp_path: Path) -> None:
    header = "Unnamed: 0,product_id,product_name,image_2,image_10,image_1,ean,locale,split,parent_id,Preis"
    rows = ["0,a,Mug one,b.jpg,,a.jpg,4006381333931,us,train,p,1.20", "1,b,Mug two,d.jpg,,c.jpg,,us,test,p,1.30"]
    found = guess(write(tmp_path, header, *rows))
    assert found.columns == Columns(
        id="product_id",
        title="product_name",
        group="parent_id",
        picture="image_1",
        pictures=("image_2", "image_10"),
        code="ean",
        price="Preis",
        language="locale",
        split="split",
    )
    assert found.dialect == "plain" and any("'Unnamed: 0' (numbers of the rows)" in line for line in found.said)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (
            "商品コード,商品名,商品説明,価格,商品画像URL,ブランド,カテゴリ,JANコード",
            ("商品コード", "商品名", "商品説明", "価格", "商品画像URL", "ブランド", "カテゴリ", "JANコード"),
        ),
        (
            "Hersteller,EAN,Artikelnummer,Bezeichnung,Beschreibung,Preis,Bild,Warengruppe",
            ("Artikelnummer", "Bezeichnung", "Beschreibung", "Preis", "Bild", "Hersteller", "Warengruppe", "EAN"),
        ),
        (
            "Référence,Désignation,Descriptif,Prix TTC,Image,Marque,Catégorie,Code-barres",
            ("Référence", "Désignation", "Descriptif", "Prix TTC", "Image", "Marque", "Catégorie", "Code-barres"),
        ),
        (
            "Código,Nombre,Descripción,Precio,Imagen,Marca,Categoría,Código de barras",
            ("Código", "Nombre", "Descripción", "Precio", "Imagen", "Marca", "Categoría", "Código de barras"),
        ),
    ],
)
def test_header_words_in_other_languages(tmp_path: Path, header: str, columns: tuple[str, ...]) -> None:
    words = header.split(",")
    found = guess(write(tmp_path, header, ",".join("x" for _ in words), ",".join("y" for _ in words))).columns
    known = (found.id, found.title, found.text["description"], found.price, found.picture, found.text["brand"])
    assert (*known, found.labels["category"], found.code) == columns


def test_an_empty_id_gives_way_to_one_that_is_filled(tmp_path: Path) -> None:
    assert guess(write(tmp_path, "id,sku,title", ",s1,Mug", "2,s2,Cup")).columns.id == "sku"


def test_without_an_id_what_tells_products_apart(tmp_path: Path) -> None:
    found = guess(write(tmp_path, "file_name,text", "1.jpg,a blue oak mug", "2.jpg,a tin cup"))
    assert (found.columns.id, found.columns.picture, found.columns.title) == ("file_name", "file_name", "text")


def test_without_a_title_its_summary_or_description(tmp_path: Path) -> None:
    found = guess(write(tmp_path, "id,description,brand", "1,A blue mug,Fern & Co", "2,A tin cup,Fern & Co")).columns
    assert (found.title, found.text) == ("description", {"brand": "brand"})


def test_a_format_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "Handle,Title,Image Src,Option1 Name,Option1 Value", "a,Mug,a.jpg,Size,S")
    assert look(Feed(path=path), "catalog.feeds.0").dialect == "shopify"
    assert look(Feed(path=path, feed="plain"), "catalog.feeds.0").dialect == "plain"
    with pytest.raises(DataError) as error:
        look(Feed(path=path, feed="shopfy"), "catalog.feeds.0")
    assert str(error.value).startswith(
        "catalog.feeds.0.feed: no format is called 'shopfy'; did you mean 'shopify'? formats: shopify, google, "
    )


def test_columns_that_the_recipe_names_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path, "Handle,Title,Image Src,Vendor", "a,Mug,a.jpg,Fern")
    columns = Columns(id="Handle", title="Vendor")
    found = look(Feed(path=path, columns=columns), "catalog.feeds.0")
    assert (found.dialect, found.columns) == ("shopify", columns)


LANGUAGES = "ID,name__de,name__en,lng:de_DE:size,lng:en_US:size,product_name_fr,product_name,made_id,made_no"


@pytest.mark.parametrize(
    ("language", "names", "sizes"),
    [(None, ["Becher", "Tasse"], ["groß", "L"]), ("en-GB", ["Mug", "Tasse"], ["big", "L"])],
)
def test_columns_in_several_languages(tmp_path: Path, language: str | None, names: list[str], sizes: list[str]) -> None:
    path = write(tmp_path, LANGUAGES, "1,Becher,Mug,groß,big,,,a,b", "2,Tasse,,,L,,,c,d")
    reading = look(Feed(path=path), "catalog.feeds.0", language)
    cells = next(products(Feed(path=path), reading)).cells
    assert cells[reading.columns.title].to_list() == names
    assert cells[reading.columns.text["size"]].to_list() == sizes
    assert "made_id" in cells.columns and "made" not in cells.columns


@pytest.mark.parametrize(("language", "titles"), [(None, ["Mug", "Filiżanka"]), ("pl", ["Kubek", "Filiżanka"])])
def test_rows_in_several_languages(tmp_path: Path, language: str | None, titles: list[str]) -> None:
    rows = ["1,en_GB,Mug", "1,pl_PL,Kubek", "2,pl_PL,Filiżanka", "2,en_GB,Cup", "2,en_GB,Cup again"]
    path = write(tmp_path, "_sku,_language,name", *rows)
    reading = look(Feed(path=path), "catalog.feeds.0", language)
    found = next(products(Feed(path=path), reading))
    assert reading.dialect == "languages" and found.cells["name"].to_list() == titles
    assert found.joined["role"].to_list() == ["language pl_PL", "language en_GB", "language en_GB"]


@pytest.mark.parametrize(
    ("tag", "name"),
    [("en", "en"), ("en_US", "en"), ("EN-us", "en"), ("us", "en"), ("jp", "ja"), ("zh_Hant_TW", "zh"), ("x", None)],
)
def test_tags_of_languages(tag: str, name: str | None) -> None:
    assert language_of(tag) == name


def test_attributes_in_columns_of_names_and_values(tmp_path: Path) -> None:
    header = "sku,name,Colour,Attribute 1 name,Attribute 1 value(s),Attribute 2 name,Attribute 2 value(s)"
    path = write(tmp_path, header, "1,Mug,red,Fit,snug,Colour,dark red", "2,Cup,blue,Made in,Japan,,")
    reading = look(Feed(path=path), "catalog.feeds.0")
    assert reading.columns.text == {
        "color": "Colour",
        "fit": "Fit",
        "color (2)": "Colour (attribute)",
        "made in": "Made in",
    }
    cells = next(products(Feed(path=path), reading)).cells
    assert cells["Fit"].to_list() == ["snug", None] and cells["Colour (attribute)"].to_list() == ["dark red", None]


def test_attributes_that_the_head_has_not(tmp_path: Path) -> None:
    rows = [f"{i},Mug {i},Fit,snug" for i in range(1000)]
    path = write(tmp_path, "sku,name,Attribute 1 name,Attribute 1 value", *rows, "last,Cup,Made in,Japan")
    reading = look(Feed(path=path), "catalog.feeds.0")
    assert reading.columns.text == {"fit": "Fit", "further": "further attributes"}
    assert next(products(Feed(path=path), reading)).cells["further attributes"].to_list()[-2:] == [
        None,
        "Made in: Japan",
    ]
