"""The layouts of published data sets, tried in this order. What their columns mean is in `dialects/datasets.py`."""

from __future__ import annotations

from pathlib import Path

from workbench.catalog.feeds.layout import Join, Layout, Listing, matches

_IMAGE_PATHS = (
    Join("**/images.csv*", "main_image_id", "image_id", {"main image path": "path"}),
    Join("**/images.csv*", "other_image_id", "image_id", {"other image paths": "path"}, each=True),
)
_SQID = Join("**/*product_image_urls.*", "product_id", "product_id", {"image_url": "image_url"})

LAYOUTS: tuple[Layout, ...] = (
    Layout("amazon-berkeley-objects", "**/listings_*.json*", joins=_IMAGE_PATHS, words=("item_id",)),
    Layout("kaggle-fashion", "styles.csv*", words=("productDisplayName",)),
    Layout(
        "rakuten",
        "X_train*.csv*",
        joins=(Join("Y_train*.csv*", "column 1", "column 1", {"prdtypecode": "prdtypecode"}),),
        words=("imageid",),
    ),
    Layout("shopee", "train.csv*", words=("posting_id",)),
    Layout("hm", "articles.csv*", words=("article_id",)),
    Layout("esci", "**/*products*.parquet", joins=(_SQID,), words=("product_locale",)),
    Layout(
        "fashion200k",
        "**/*_detect_all.txt",
        header=("image_path", "detection_score", "description"),
        from_name=r"(?P<category>[^/_]+)_(?P<split>train|test|val|valid)_detect_all",
    ),
    Layout("prestashop", "*[pc][ro][om][db]*.csv", needs=("*prod*.csv", "*comb*.csv")),
    Layout("amazon-reviews", "**/meta_*.json*", words=("parent_asin",)),
)


def source_files(path: Path) -> list[Path]:
    """The files whose bytes say what is read from a feed: itself, or those in its folder, and what is joined to it.

    Pictures in a folder are not among them, unless there is nothing else that could hold its rows.
    """
    if path.is_dir():
        names = (name for name in Listing(path).names if not name.lower().endswith((".md", "license")))
        return [path / name for name in names] or sorted(file for file in path.rglob("*") if file.is_file())
    if not (joins := _joins(path)):
        return [path]
    listing = Listing(path.parent)
    return list(dict.fromkeys([path, *(file for join in joins for file in listing.matching(join.glob))]))


def is_joined(path: Path) -> bool:
    """Whether what is read from a feed's file may also be in others of its folder."""
    return bool(_joins(path))


def _joins(path: Path) -> list[Join]:
    return [join for layout in LAYOUTS if matches(layout.rows, path.name) for join in layout.joins]
