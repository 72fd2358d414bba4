"""The layouts of published data sets, tried in this order. What their columns mean is in `dialects/datasets.py`."""

from __future__ import annotations

from workbench.catalog.feeds.layout import Join, Layout

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
