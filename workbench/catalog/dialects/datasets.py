"""Published data sets, as data. How their files lie is in `feeds/layouts.py`, under the same names."""

from __future__ import annotations

from workbench.catalog.dialects.dialect import Dialect, Failed, SameKey

_ONLY_PICTURES = ("no such column",)  # of SameKey.variant: further rows of a product bring nothing but pictures

AMAZON_BERKELEY_OBJECTS = Dialect(
    name="amazon-berkeley-objects",
    about="listings_*.json.gz, texts in several languages; pictures are looked up in images.csv.gz by their ids.",
    signs={"item_id": 0.2, "item_name": 0.2, "main_image_id": 0.6, "domain_name": 0.4, "other_image_id": 0.2},
    words={
        "id": ("item_id",),
        "title": ("item_name",),
        "picture": ("main image path",),
        "pictures": ("other image paths",),
        "text.description": ("product_description",),
        "text.features": ("bullet_point",),
        "text.brand": ("brand",),
        "text.color": ("color",),
        "text.material": ("material",),
        "text.style": ("style",),
        "text.pattern": ("pattern",),
        "text.fabric": ("fabric_type",),
        "text.finish": ("finish_type",),
        "text.shape": ("item_shape",),
        "text.model": ("model_name",),
        "text.keywords": ("item_keywords",),
        "label.product_type": ("product_type",),
        "label.category": ("node",),
    },
    ignored=(
        *("main_image_id", "other_image_id", "spin_id", "3dmodel_id", "model_number", "model_year", "color_code"),
        *("item_dimensions", "item_weight", "country", "marketplace", "domain_name", "width", "height", "product_id"),
    ),
    grouping=(SameKey(("item_id",), language=("country", "domain_name", "marketplace")),),
    texts={
        **dict.fromkeys(("product_description", "bullet_point"), "lines"),
        **dict.fromkeys(("item_name", "brand", "color", "material", "style", "pattern", "fabric_type"), "languages"),
        **dict.fromkeys(("finish_type", "item_shape", "model_name", "item_keywords", "product_type"), "languages"),
        "node": "path",
    },
    folders=("images/small", "images/original", "images", "small", "original"),
    closed=True,
)

AMAZON_REVIEWS = Dialect(
    name="amazon-reviews",
    about="meta_*.jsonl of Amazon Reviews 2023 (and before), also as Parquet; pictures in several resolutions.",
    signs={
        **{"parent_asin": 0.6, "main_category": 0.3, "store": 0.3, "details": 0.2, "rating_number": 0.2},
        **{"bought_together": 0.3, "imageURLHighRes": 0.8, "main_cat": 0.4, "also_buy": 0.3, "imUrl": 0.8, "asin": 0.2},
    },
    words={
        "id": ("asin", "parent_asin"),
        "group": ("parent_asin",),
        "title": ("title",),
        "picture": ("images", "imageURLHighRes", "imageURL", "imUrl"),
        "price": ("price",),
        "text.summary": ("subtitle",),
        "text.description": ("description",),
        "text.features": ("features", "feature"),
        "text.brand": ("store", "brand"),
        "text.author": ("author",),
        "label.category": ("main_category", "main_cat"),
        "label.subcategory": ("categories", "category"),
    },
    ignored=("average_rating", "rating_number", "videos", "bought_together", "also_buy", "also_view", "rank", "date"),
    pairs={"details": "details"},
    internal=(
        *("asin", "date first available", "is discontinued by manufacturer", "item model number"),
        *("customer reviews", "shipping *", "domestic shipping", "international shipping", "unspsc code"),
    ),
    texts={
        **dict.fromkeys(("description", "features", "feature"), "lines"),
        **dict.fromkeys(("categories", "category"), "levels"),
        "author": "list",
    },
    empty=("None", "[]", "{}", "nan"),
    closed=True,
)

KAGGLE_FASHION = Dialect(
    name="kaggle-fashion",
    about="styles.csv of Fashion Product Images; the picture is images/ID.jpg.",
    signs={"productDisplayName": 0.8, "articleType": 0.3, "baseColour": 0.3, "masterCategory": 0.3},
    words={
        "id": ("id",),
        "title": ("productDisplayName",),
        "picture": ("image", "filename"),
        "text.color": ("baseColour",),
        "label.category": ("masterCategory",),
        "label.subcategory": ("subCategory",),
        "label.product_type": ("articleType",),
        "label.gender": ("gender",),
        "label.season": ("season",),
        "label.usage": ("usage",),
    },
    ignored=("year", "link"),
    picture="{id}.jpg",
    folders=("images",),
    closed=True,
)

RAKUTEN = Dialect(
    name="rakuten",
    about="X_train_*.csv of Rakuten France; its labels are joined from Y_train_*.csv by the index.",
    signs={"designation": 0.4, "imageid": 0.4, "productid": 0.3, "prdtypecode": 0.3, "integer_id": 0.4, "title": 0.1},
    words={
        "id": ("productid",),
        "title": ("designation", "title"),
        "text.description": ("description",),
        "label.product_type": ("prdtypecode", "product type code"),
    },
    ignored=("column 1", "unnamed: 0", "index", "integer_id", "imageid"),
    empty=("nan",),
    digits={"productid": 1},
    picture="image_{imageid}_product_{productid}.jpg",
    folders=(
        *("images/image_train", "image_train", "image_train/image_train", "images/image_train/image_train"),
        *("images", "images/image_test", "image_test"),
    ),
    closed=True,
)

SHOPEE = Dialect(
    name="shopee",
    about="train.csv of Shopee's price match guarantee; a label_group is one product sold by several.",
    signs={"posting_id": 0.8, "image": 0.2, "image_phash": 0.4, "label_group": 0.5},
    words={"id": ("posting_id",), "title": ("title",), "group": ("label_group",), "picture": ("image",)},
    ignored=("image_phash", "matches"),
    texts={"title": "bytes"},
    folders=("train_images", "shopee-product-matching/train_images", "images", "test_images"),
    closed=True,
)

HM = Dialect(
    name="hm",
    about="articles.csv of H&M; the picture is images/NNN/ARTICLE.jpg, articles of one product_code are variants.",
    signs={"article_id": 0.3, "prod_name": 0.5, "detail_desc": 0.3, "garment_group_name": 0.3, "index_group_name": 0.2},
    words={
        "id": ("article_id",),
        "title": ("prod_name",),
        "group": ("product_code",),
        "picture": ("image", "image_url"),
        "text.description": ("detail_desc",),
        "text.color": ("colour_group_name",),
        "text.pattern": ("graphical_appearance_name",),
        "label.product_type": ("product_type_name",),
        "label.category": ("product_group_name",),
        "label.department": ("department_name",),
        "label.section": ("section_name",),
        "label.garment_group": ("garment_group_name",),
        "label.index_group": ("index_group_name",),
    },
    ignored=(
        *("* no", "* code", "* value id", "* id", "index_name"),
        *("perceived_colour_value_name", "perceived_colour_master_name"),
    ),
    digits={"article_id": 10, "product_code": 7},
    picture="{article_id:.3}/{article_id}.jpg",
    folders=("images",),
    closed=True,
)

FLIPKART = Dialect(
    name="flipkart",
    about="Products crawled from Flipkart: lists of addresses, a category tree, specifications as Ruby hashes.",
    signs={
        **{"uniq_id": 0.3, "product_category_tree": 0.5, "product_specifications": 0.5, "is_FK_Advantage_product": 0.5},
        **{"discounted_price": 0.1, "overall_rating": 0.1, "pid": 0.1, "product_name": 0.1},
    },
    words={
        "id": ("uniq_id", "pid"),
        "title": ("product_name",),
        "picture": ("image",),
        "price": ("discounted_price", "retail_price"),
        "text.description": ("description",),
        "text.brand": ("brand",),
        "label.category": ("product_category_tree",),
    },
    ignored=(
        *("pid", "product_url", "crawl_timestamp", "is_FK_Advantage_product", "product_rating", "overall_rating"),
        *("column 1", "unnamed: 0"),
    ),
    pairs={"product_specifications": "objects"},
    texts={"product_category_tree": "tree"},
    empty=("No rating available", "[]", '{"product_specification"=>nil}'),
    closed=True,
)

ESCI = Dialect(
    name="esci",
    about="Products of Amazon's shopping queries (ESCI); their pictures' addresses come from SQID.",
    signs={
        **{"product_title": 0.3, "product_bullet_point": 0.5, "product_locale": 0.5, "product_brand": 0.2},
        **{"product_description": 0.1, "product_color": 0.1},
    },
    words={
        "id": ("product_id",),
        "title": ("product_title",),
        "picture": ("image_url", "product_image_url"),
        "language": ("product_locale",),
        "split": ("split",),
        "text.description": ("product_description",),
        "text.features": ("product_bullet_point",),
        "text.brand": ("product_brand",),
        "text.color": ("product_color", "product_color_name"),
    },
    ignored=(
        "example_id",
        "query_id",
        "query",
        "esci_label",
        "small_version",
        "large_version",
        "*vector*",
        "*features",
    ),
    grouping=(SameKey(("product_id",), language=("product_locale",)),),
    empty=("nan", "none", "None", "NaN", "null"),
    closed=True,
)

FASHIONGEN = Dialect(
    name="fashiongen",
    about="fashiongen_*.h5: a row a pose, the poses of one productID are one product with several pictures.",
    signs={"input_productID": 0.5, "input_image": 0.4, "input_description": 0.3, "input_name": 0.2},
    words={
        "id": ("input_productID",),
        "title": ("input_name",),
        "picture": ("input_image",),
        "price": ("input_msrpUSD",),
        "text.description": ("input_description",),
        "text.brand": ("input_brand",),
        "text.material": ("input_composition",),
        "label.category": ("input_category",),
        "label.subcategory": ("input_subcategory",),
        "label.gender": ("input_gender",),
        "label.department": ("input_department",),
        "label.season": ("input_season",),
    },
    ignored=("index", "index_2", "input_pose", "input_concat_description"),
    digits={"input_productID": 1},
    grouping=(SameKey(("input_productID",), variant=_ONLY_PICTURES),),
    closed=True,
)

FASHION200K = Dialect(
    name="fashion200k",
    about="labels/CATEGORY_SPLIT_detect_all.txt of Fashion200K: a row a picture, its folder is the product.",
    signs={"image_path": 0.4, "detection_score": 0.8},
    words={
        "id": ("product",),
        "title": ("description", "caption"),
        "picture": ("image_path",),
        "split": ("split",),
        "label.category": ("category",),
        "label.subcategory": ("subcategory",),
    },
    ignored=("detection_score", "url"),
    parts={"image_path": r"(?:(?P<subcategory>[^/]+)/)?(?P<product>[^/]+)/[^/]+$"},
    grouping=(SameKey(("product",), variant=_ONLY_PICTURES),),
    closed=True,
)

OPEN_FOOD_FACTS = Dialect(
    name="open-food-facts",
    about="The exports of Open Food Facts (and Beauty, Products, Pet Food Facts) as TSV, JSON lines or Parquet.",
    signs={"code": 0.2, "product_name": 0.2, "categories_tags": 0.5, "brands": 0.2, "ingredients_text": 0.2},
    words={
        "id": ("code", "_id"),
        "title": ("product_name",),
        "picture": ("image_url", "image_front_url"),
        "language": ("lang", "lc"),
        "text.summary": ("generic_name",),
        "text.brand": ("brands", "brands_tags"),
        "text.quantity": ("quantity",),
        "text.ingredients": ("ingredients_text",),
        "text.labels": ("labels", "labels_tags", "labels_en"),
        "text.packaging": ("packaging", "packaging_tags"),
        "label.category": ("main_category_en", "main_category", "pnns_groups_1"),
        "label.categories": ("categories_tags", "categories", "categories_en"),
    },
    ignored=(
        *("url", "creator", "last_modified_by", "*_t", "*_datetime", "image_*", "*_100g", "*_serving", "states*"),
        *("countries*", "nutrition_grade*", "nutriscore*", "nova_group", "additives*", "images", "nutriments"),
    ),
    texts={
        **dict.fromkeys(
            ("categories_tags", "categories", "categories_en", "main_category", "main_category_en"), "tags"
        ),
        **dict.fromkeys(("brands_tags", "labels", "labels_tags", "labels_en", "packaging_tags"), "tags"),
        **dict.fromkeys(("product_name", "generic_name", "ingredients_text"), "languages"),
    },
    empty=("unknown",),
    parts={
        "code": r"^(?P<barcode>(?P<code_1>\d{3})(?P<code_2>\d{3})(?P<code_3>\d{3})(?P<code_4>\d{4,5}))$",
        "images": r'"front_(?P<front>[a-z]{2})"(?::\{|,)[^{}]*"rev":"?(?P<front_rev>\d+)',  # the dump, and Parquet
    },
    picture=(
        "https://images.openfoodfacts.org/images/products/{code_1}/{code_2}/{code_3}/{code_4}/"
        "front_{front}.{front_rev}.400.jpg"
    ),
    closed=True,
)

IMG2DATASET = Dialect(
    name="img2dataset",
    about="What img2dataset downloaded: a caption and a picture a key, the failed ones with their reason.",
    signs={"caption": 0.3, "status": 0.3, "error_message": 0.3, "original_width": 0.2, "key": 0.2},
    words={
        "id": ("key", "__key__"),
        "title": ("caption", "txt", "text"),
        "picture": ("image", "jpg", "png", "webp", "url"),
    },
    ignored=("url", "status", "error_message", "width", "height", "original_*", "exif", "md5", "sha256", "similarity"),
    failed=Failed("status", ("success",), "error_message"),
)

WEBDATASET = Dialect(
    name="webdataset",
    about="Tars of samples: members with one key are one product, its texts in .txt and .json.",
    signs={"__key__": 1.0},
    words={
        "id": ("__key__",),
        "title": ("title or caption",),
        "picture": ("image", "jpg", "jpeg", "png", "webp"),
        "text.caption": ("txt", "text", "caption"),
    },
    moved={"title or caption": ("title", "name", "product_name", "product_title", "caption", "txt", "text")},
    ignored=("__url__", "__shard__"),
)

IMAGEFOLDER = Dialect(
    name="imagefolder",
    about="A folder of pictures without metadata: the folder of each is its class, and all that there is to read.",
    signs={
        **{"file_name": 0.5, "label": 0.5},
        **dict.fromkeys(("title", "name", "text", "caption", "product_name", "description", "* title"), -1.0),
    },
    words={
        "id": ("id",),
        "title": ("label as title",),
        "picture": ("file_name",),
        "split": ("split",),
        "label.class": ("label",),
    },
    parts={"label": r"^(?P<label_as_title>.+)$"},
)

DATASETS: tuple[Dialect, ...] = (
    AMAZON_BERKELEY_OBJECTS,
    AMAZON_REVIEWS,
    KAGGLE_FASHION,
    RAKUTEN,
    SHOPEE,
    HM,
    FLIPKART,
    ESCI,
    FASHIONGEN,
    FASHION200K,
    OPEN_FOOD_FACTS,
    IMG2DATASET,
    WEBDATASET,
    IMAGEFOLDER,
)
