"""Each published data set, as published and as copies of it look, without being told which it is."""

import csv
import gzip
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from tests.catalog.dialects.outcome import Outcome, outcome
from workbench.catalog.feeds.layouts import source_files

FEEDS = Path(__file__).parents[1] / "feeds"


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(FEEDS, tmp_path / "feeds")
    yield tmp_path / "feeds"


def shuffled(path: Path, without: tuple[str, ...] = (), delimiter: str = ",") -> Path:
    """The same CSV with its columns in another order, some missing."""
    rows = list(csv.reader(path.open(newline=""), delimiter=delimiter))
    order = [at for at, word in enumerate(rows[0]) if word not in without]
    random.Random(7).shuffle(order)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([row[at] for at in order] for row in rows)
    return path


def zipped(path: Path) -> Path:
    with gzip.open(path.with_name(path.name + ".gz"), "wb") as file:
        file.write(path.read_bytes())
    path.unlink()
    return path.with_name(path.name + ".gz")


# --- Amazon Berkeley Objects


def test_amazon_berkeley_objects(copied: Path) -> None:
    folder = copied / "amazon-berkeley-objects"
    for path in (*folder.glob("listings/metadata/*"), *folder.glob("images/metadata/*")):
        zipped(path)
    for name in ("14/14fe8812.jpg", "d9/d91ab9cf.png"):
        (folder / "images/small" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images/small" / name).write_bytes(b"")
    found = outcome(folder)
    assert found.dialect == "amazon-berkeley-objects" and not found.bad
    assert found.items == {
        "B0X1": {
            "title": "Oak stool",
            "text.features": "45 cm\nSolid oak",
            "text.brand": "Fernhill",
            "text.color": "Oak",
            "label.product_type": "STOOL",
            "label.category": "Furniture > Stools",
            "pictures": [f"images/small/{p}" for p in ("14/14fe8812.jpg", "da/daab0cad.jpg", "d9/d91ab9cf.png")],
        },
        "B0X2": {
            "title": "Cotton towel",
            "text.brand": "Lumen",
            "label.product_type": "TOWEL",
            "pictures": ["images/small/d9/d91ab9cf.png"],
        },
        "B0X3": {"title": "Lampe", "text.color": "Schwarz", "label.product_type": "LAMP", "pictures": []},
    }
    assert found.joined == [("B0X1", 1, "language DE")]
    assert outcome(folder, language="de").items["B0X1"]["title"] == "Hocker aus Eiche"


def test_a_lone_file_of_amazon_berkeley_objects(copied: Path) -> None:
    path = copied / "amazon-berkeley-objects/listings/metadata/listings_0.json"
    alone = copied / "hm/listings_0.json.gz"
    alone.write_bytes(gzip.compress(path.read_bytes()))
    items = outcome(alone).items
    assert [item["title"] for item in items.values()] == ["Oak stool", "Cotton towel"]
    assert items["B0X1"]["pictures"] == []  # its ids mean nothing without images.csv


# --- Amazon Reviews 2023

BRUSH = {
    "title": "Soft brush",
    "text.description": "Soft.\nHandy.",
    "text.brand": "Acme",
    "label.category": "All Beauty",
    "pictures": ["https://i.test/l0.jpg", "https://i.test/h1.jpg"],
}


def test_amazon_reviews(copied: Path) -> None:
    path = copied / "amazon-reviews/meta_All_Beauty.jsonl"
    for feed in (path, path.parent, copied / "meta.jsonl.gz"):
        (copied / "meta.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        found = outcome(feed)
        assert found.dialect == "amazon-reviews" and not found.joined and not found.bad
        brush = found.items["B0ZZ1"]
        assert brush == brush | BRUSH
        assert {brush["text.color"], brush["text.upc"]} == {"Red", "012345678905"}
        assert found.items["B0ZZ2"]["text.summary"] == "For long hair" and found.items["B0ZZ2"]["price"] == "12.5"
        assert found.items["B0ZZ2"]["text.features"] == "Wide teeth, Wood"
        assert found.items["B0ZZ3"]["pictures"] == ["https://i.test/t3.jpg"]


def test_amazon_reviews_as_parquet(copied: Path) -> None:
    """As the `datasets` library writes it: a dict of lists, details as text, "None" for no price."""
    lines = (copied / "amazon-reviews/meta_All_Beauty.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    keys = ("hi_res", "large", "thumb", "variant")
    for row in rows:
        row["price"] = str(row["price"])
        row["details"] = json.dumps(row["details"])
        row["images"] = {key: [image[key] for image in row["images"]] for key in keys}
        row["videos"] = {"title": [], "url": []}
    pl.DataFrame(rows).write_parquet(copied / "full-00000-of-00001.parquet")
    found = outcome(copied / "full-00000-of-00001.parquet")
    assert found.items["B0ZZ1"] == found.items["B0ZZ1"] | BRUSH
    assert "price" not in found.items["B0ZZ1"] and found.items["B0ZZ2"]["price"] == "12.5"


# --- Kaggle fashion


def test_kaggle_fashion(copied: Path) -> None:
    folder = copied / "kaggle-fashion"
    for feed in (folder, folder / "styles.csv"):
        found = outcome(feed)
        assert found.dialect == "kaggle-fashion" and list(found.items) == ["15001", "15002", "15003"] and not found.bad
        assert found.items["15001"] == {
            "title": "Acme Men White, Blue and Red Tee",
            "text.color": "White",
            "label.category": "Apparel",
            "label.subcategory": "Topwear",
            "label.product_type": "Tshirts",
            "label.gender": "Men",
            "label.season": "Summer",
            "label.usage": "NA",
            "pictures": ["images/15001.jpg"],
        }
        assert "label.season" not in found.items["15002"]
        assert found.items["15003"]["title"] == 'Fern "Oak" Shoes'


def test_a_copy_of_kaggle_fashion(copied: Path) -> None:
    path = copied / "kaggle-fashion/styles.csv"
    path.write_text(path.read_text().replace(", Blue and", " and"))
    found = outcome(shuffled(path, without=("year", "usage", "season")))
    assert found.items["15001"]["pictures"] == ["images/15001.jpg"]
    assert "label.usage" not in found.items["15001"]


# --- Rakuten


def test_rakuten(copied: Path) -> None:
    folder = copied / "rakuten"
    (folder / "image_train").mkdir()
    (folder / "image_train/image_800002_product_900002.jpg").write_bytes(b"")
    found = outcome(folder)
    assert found == outcome(folder / "X_train_update.csv")
    assert found.dialect == "rakuten" and not found.joined and not found.bad
    assert found.items == {
        "900001": {
            "title": "Carnet à points 150 pages",
            "label.product_type": "2522",
            "pictures": ["image_train/image_800001_product_900001.jpg"],
        },
        "900002": {
            "title": "Tasse émaillée",
            "text.description": "Couleur&nbsp;: <b>bleu</b><br />Contenance 0,3 l",
            "label.product_type": "1560",
            "pictures": ["image_train/image_800002_product_900002.jpg"],
        },
        "900003": {
            "title": "Kinderbuch",
            "label.product_type": "10",
            "pictures": ["image_train/image_1263597046_product_900003.jpg"],
        },
    }


def test_rakuten_without_its_labels_and_as_of_old(copied: Path) -> None:
    path = copied / "rakuten/X_train_update.csv"
    (path.parent / "Y_train_CVw08PX.csv").unlink()
    item = outcome(path).items["900001"]
    assert "label.product_type" not in item
    assert item["pictures"] == ["images/image_train/image_800001_product_900001.jpg"]
    old = copied / "catalog_train.tsv"
    old.write_text("Integer_id\tTitle\tDescription\tImage_id\tProduct_id\n0\tCarnet à points\t\t800001\t900001\n")
    item = outcome(old).items["900001"]
    assert item == {"title": "Carnet à points", "pictures": ["images/image_train/image_800001_product_900001.jpg"]}


# --- Shopee, H&M, Flipkart


def test_shopee(copied: Path) -> None:
    path = copied / "shopee/train.csv"
    for feed in (path, path.parent, shuffled(path, without=("image_phash",))):
        found = outcome(feed)
        assert found.dialect == "shopee" and not found.joined
        assert found.items == {
            "train_1": {"title": "Paper Bag Victoria", "group": "249114", "pictures": ["train_images/aa01.jpg"]},
            "train_2": {"title": 'Café "Creme" 2’s', "group": "249114", "pictures": ["train_images/aa01.jpg"]},
            "train_3": {"title": "Tas, hitam", "group": "3148", "pictures": ["train_images/bb02.jpg"]},
        }


def test_hm(copied: Path) -> None:
    path = copied / "hm/articles.csv"
    for feed in (path, path.parent, shuffled(path, without=("section_name", "index_code"))):
        found = outcome(feed)
        assert found.dialect == "hm" and list(found.items) == ["0900001001", "0900001002"]
        first = found.items["0900001001"]
        assert first["pictures"] == ["images/090/0900001001.jpg"] and first["group"] == "0900001"
        assert first["text.description"] == "Rib top in soft jersey." and first["text.color"] == "Black"
        assert (first["title"], first["text.pattern"]) == ("Rib top", "Solid")
        assert first["label.product_type"] == "Vest top" and first["label.category"] == "Garment Upper body"
        assert not {cell for role, cell in first.items() if role.startswith("label.")} & {"253", "1676", "16", "A"}
        second = found.items["0900001002"]
        assert second["group"] == "0900001" and second["pictures"] == ["images/090/0900001002.jpg"]


def test_flipkart(copied: Path) -> None:
    path = copied / "flipkart/flipkart_com-ecommerce_sample.csv"
    for feed in (path, shuffled(path, without=("overall_rating", "is_FK_Advantage_product", "crawl_timestamp"))):
        found = outcome(feed)
        assert found.dialect == "flipkart" and not found.joined and not found.bad
        towel, lamp, cup = (found.items[item] for item in ("u1", "u2", "u3"))
        assert towel["pictures"] == ["http://i.test/a.jpeg", "http://i.test/b,2.jpeg"]
        assert towel["label.category"] == "Home Furnishing > Bath Linen > Towels"
        assert towel["price"] == "379" and towel["text.size"] == "L => XL" and towel["text.other"] == "2 pcs"
        assert "No rating available" not in towel.values()
        assert "label.category" not in lamp and lamp["text.color"] == "Red" and lamp["pictures"] == []
        assert cup["pictures"] == ["u3.jpg"] and cup["label.category"] == "Kitchen > Cups"


# --- ESCI and SQID


def esci(folder: Path, **renamed: str) -> Path:
    products = pl.DataFrame(
        [
            ("B0AA", "Oak stool", "<b>Solid</b>", "45 cm\nOak", "Fern", "Brown", "us"),
            ("B0AB", "Lamp", "nan", None, "none", "", "us"),
            ("B0AA", "Taburete", None, None, "Fern", "Marrón", "es"),
            ("B0AC", "椅子", None, None, None, None, "jp"),
        ],
        ("product_id", "product_title", "product_description", "product_bullet_point", "product_brand", "product_color",
         "product_locale"),
        orient="row",
    )  # fmt: skip
    products.rename(renamed).write_parquet(folder / "shopping_queries_dataset_products.parquet")
    pl.DataFrame({"example_id": [1], "query": ["x"], "product_id": ["B0AA"]}).write_parquet(
        folder / "shopping_queries_dataset_examples.parquet"
    )
    return folder


def check_esci(found: Outcome) -> None:
    assert found.dialect == "esci"
    stool = {
        "title": "Oak stool",
        "language": "us",
        "text.description": "<b>Solid</b>",
        "text.features": "45 cm\nOak",
        "text.brand": "Fern",
        "text.color": "Brown",
        "pictures": ["https://m.test/1.jpg"],
    }
    assert found.items == {
        "B0AA": stool,
        "B0AB": {"title": "Lamp", "language": "us", "pictures": []},
        "B0AC": {"title": "椅子", "language": "jp", "pictures": ["https://m.test/3.jpg"]},
    }
    assert found.joined == [("B0AA", 3, "language es")]


def test_esci_with_sqid(tmp_path: Path) -> None:
    esci(tmp_path)
    (tmp_path / "sqid").mkdir()
    (tmp_path / "sqid/product_image_urls.csv").write_text("product_id,image_url\nB0AA,https://m.test/1.jpg\nB0AB,\n")
    (tmp_path / "sqid/supp_product_image_urls.csv").write_text("product_id,image_url\nB0AC,https://m.test/3.jpg\n")
    check_esci(outcome(tmp_path))
    check_esci(outcome(tmp_path / "shopping_queries_dataset_products.parquet"))


def test_esci_with_addresses_of_its_own(tmp_path: Path) -> None:
    path = esci(tmp_path, product_color="product_color_name") / "shopping_queries_dataset_products.parquet"
    urls = pl.Series("image_url", ["https://m.test/1.jpg", None, None, "https://m.test/3.jpg"])
    pl.read_parquet(path).with_columns(urls).write_parquet(path)
    check_esci(outcome(path))


# --- Fashion200K, FashionGen


def test_fashion200k(copied: Path) -> None:
    found = outcome(copied / "fashion200k")
    assert found.dialect == "fashion200k" and not found.bad
    dress = {"label.category": "dress", "split": "train"}
    path = "women/dresses/casual_and_day_dresses/91"
    assert found.items == {
        "91": dress
        | {
            "title": "black knee-length dress",
            "label.subcategory": "casual_and_day_dresses",
            "pictures": [f"{path}/91_0.jpeg", f"{path}/91_1.jpeg"],
        },
        "92": dress
        | {
            "title": 'red "party" dress',
            "label.subcategory": "cocktail_dresses",
            "pictures": ["women/dresses/cocktail_dresses/92/92_0.jpeg"],
        },
        "93": {
            "title": "white silk blouse",
            "label.category": "top",
            "label.subcategory": "blouses",
            "split": "test",
            "pictures": ["women/tops/blouses/93/93_0.jpeg"],
        },
    }
    assert found.joined == [("91", 2, "picture row")]
    one = outcome(copied / "fashion200k/labels/top_test_detect_all.txt")
    assert one.items == {"93": found.items["93"]}


def test_fashiongen(tmp_path: Path) -> None:
    def column(*cells: object) -> np.ndarray:
        kind = h5py.string_dtype("ascii", 64) if isinstance(cells[0], bytes) else None
        return np.array([[cell] for cell in cells], dtype=kind)

    with h5py.File(tmp_path / "fashiongen_256_256_validation.h5", "w") as file:
        file["index"] = column(0, 1, 2, 3)
        file["input_image"] = np.zeros((4, 8, 8, 3), np.uint8)
        file["input_productID"] = column(71, 71, 72, 71)
        file["input_name"] = column(b"BLACK JEANS", b"BLACK JEANS", "CAFÉ DRESS".encode("latin-1"), b"BLACK JEANS")
        file["input_description"] = column(b"Slim.", b"Slim.", b"Silk.", b"Slim.")
        file["input_concat_description"] = column(b"x", b"x", b"x", b"x")
        file["input_category"] = column(b"JEANS", b"JEANS", b"DRESSES", b"JEANS")
        file["input_pose"] = column(b"id_gridfs_1", b"id_gridfs_2", b"id_gridfs_1", b"id_gridfs_3")
        file["input_msrpUSD"] = column(610.0, 610.0, 90.5, 610.0)
    found = outcome(tmp_path / "fashiongen_256_256_validation.h5")
    assert found.dialect == "fashiongen" and not found.bad
    jeans = {"title": "BLACK JEANS", "text.description": "Slim.", "label.category": "JEANS", "price": "610.0 USD"}
    dress = {"title": "CAFÉ DRESS", "text.description": "Silk.", "label.category": "DRESSES", "price": "90.5 USD"}
    address = "fashiongen_256_256_validation.h5::{}::input_image"
    assert found.items == {
        "71": jeans | {"pictures": [address.format(row) for row in (1, 2, 4)]},
        "72": dress | {"pictures": [address.format(3)]},
    }
    assert found.joined == [("71", 2, "picture row"), ("71", 4, "picture row")]


# --- Open Food Facts


def test_open_food_facts(copied: Path) -> None:
    path = copied / "open-food-facts/en.openfoodfacts.org.products.csv"
    for feed in (path, copied / "again.csv.gz"):
        (copied / "again.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        found = outcome(feed)
        assert found.dialect == "open-food-facts" and not found.bad
        tea, spread = found.items["0002000000714"], found.items["3017620422003"]
        assert tea["title"] == 'Tea 12" box' and spread["text.summary"] == 'Spread with "nuts'
        assert tea["label.categories"] == "teas, green teas" and tea["label.category"] == "Teas"
        assert tea["text.brand"] == "Acme" and tea["text.ingredients"] == "green tea"
        front = "https://images.openfoodfacts.org/images/products/000/200/000/0714/front_fr.3.400.jpg"
        assert tea["code"] == "0002000000714" and tea["pictures"] == [front] and spread["pictures"] == []
    assert outcome(feed, language="fr").items["0002000000714"]["title"] == 'Thé 12" boîte'


def test_open_food_facts_as_json_lines(copied: Path) -> None:
    found = outcome(copied / "open-food-facts/openfoodfacts-products.jsonl")
    spread = found.items["3017620422003"]
    front = "https://images.openfoodfacts.org/images/products/301/762/042/2003/front_fr.4.400.jpg"
    assert found.dialect == "open-food-facts" and spread["pictures"] == [front]
    assert spread["title"] == "Pâte à tartiner" and spread["label.categories"] == "spreads, sweet spreads"


def test_open_food_facts_as_parquet(tmp_path: Path) -> None:
    """As on the Hugging Face hub: texts as lists of languages, pictures as a list of structs."""
    text = [{"lang": "main", "text": "Pâte"}, {"lang": "fr", "text": "Pâte"}, {"lang": "en", "text": "Spread"}]
    images = [{"key": "1", "imgid": None, "rev": None}, {"key": "front_fr", "imgid": 3, "rev": 7}]
    row = {"code": "3017620422003", "product_name": text, "brands": "Fern", "categories_tags": ["en:spreads"]}
    pl.DataFrame([row | {"images": images}]).write_parquet(tmp_path / "food.parquet")
    spread = outcome(tmp_path / "food.parquet", language="fr").items["3017620422003"]
    front = "https://images.openfoodfacts.org/images/products/301/762/042/2003/front_fr.7.400.jpg"
    assert spread["title"] == "Pâte" and spread["pictures"] == [front]
    assert outcome(tmp_path / "food.parquet").items["3017620422003"]["title"] == "Pâte"


# --- img2dataset


def test_a_table_of_img2dataset(tmp_path: Path) -> None:
    pixel = b"\x89PNG\r\n\x1a\n"
    rows = [
        {"key": "000000000", "caption": "Oak stool", "status": "success", "error_message": None, "jpg": pixel},
        {"key": "000000001", "caption": "Lamp", "status": "failed_to_download", "error_message": "404", "jpg": None},
    ]
    pl.DataFrame(rows).with_columns(url=pl.lit("https://a.test/1.jpg")).write_parquet(tmp_path / "00000.parquet")
    found = outcome(tmp_path / "00000.parquet")
    assert found.dialect == "img2dataset" and found.bad == [(2, "failed to download")]
    assert found.items == {"000000000": {"title": "Oak stool", "pictures": ["00000.parquet::1::jpg"]}}


def test_the_files_that_a_feed_is_read_from(copied: Path) -> None:
    folder = copied / "rakuten"
    (folder / "images").mkdir()
    for name in ("images/1.jpg", "README.md", ".hidden"):
        (folder / name).write_bytes(b"")
    both = [folder / "X_train_update.csv", folder / "Y_train_CVw08PX.csv"]
    assert source_files(folder) == source_files(both[0]) == both
    assert source_files(copied / "hm/articles.csv") == [copied / "hm/articles.csv"]
    assert source_files(folder / "images") == [folder / "images/1.jpg"]
