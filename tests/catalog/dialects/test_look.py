"""Guesses from header words and cells."""

from pathlib import Path

import pytest

from workbench.catalog.dialects.dialect import Reading
from workbench.catalog.dialects.look import look, recipe_tree
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
    )
    assert "title              <- 'title' (header word)" in found.said
    assert "ignored            <- 'price' (price)" in found.said
    assert len(found.said) == 12  # every header word once


def test_shopify(tmp_path: Path) -> None:
    header = "Handle,Title,Body (HTML),Vendor,Type,Tags,Variant SKU,Variant Price,Image Src,Image Position,Status"
    columns = guess(
        write(tmp_path, header, "mug,Mug,<p>x</p>,Fern,Mugs,a,M-1,9.50,https://x.test/a.jpg,1,active")
    ).columns
    assert (columns.id, columns.group, columns.title) == ("Variant SKU", "Handle", "Title")
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
