"""Shop systems and marketplaces, as data. docs/feeds.md is made from this file and `datasets.py`."""

from __future__ import annotations

from workbench.catalog.dialects.dialect import (
    VARIANT_PICTURES,
    Below,
    Dialect,
    ListsVariants,
    Named,
    NamesParent,
    SameKey,
)
from workbench.catalog.dialects.words import WORDS

SHOPIFY = Dialect(
    "shopify",
    "Shopify's product CSV, with the headers of before and after 2024: rows of one handle are one product.",
    signs={
        **{"handle": 0.4, "title": 0.1, "body (html)": 0.5, "vendor": 0.2, "image src": 0.5, "image position": 0.3},
        **{"option# name": 0.3, "option# value": 0.3, "variant sku": 0.2, "variant price": 0.2, "variant image": 0.3},
        **{"variant inventory *": 0.3, "variant grams": 0.3, "url handle": 0.9, "product image url": 0.4},
        **{"published on online store": 0.6, "continue selling when out of stock": 0.6, "compare-at price": 0.3},
        **{"variant image url": 0.4, "google shopping / *": 0.3, "* (product.metafields.*)": 0.5},
    },
    words={
        "id": ("handle", "url handle"),
        "group": (),
        "picture": ("image src", "product image url", "image source", "image url"),
        VARIANT_PICTURES: ("variant image", "variant image url"),
        "code": ("variant barcode", "barcode"),
        "price": ("variant price", "price"),
        "label.category": ("product category", "standard product type", "google shopping / google product category"),
        "label.product_type": ("type", "custom product type"),
    },
    ignored=("option# *", "* / *"),
    grouping=(
        SameKey(
            ("handle", "url handle"),
            variant=("option# value", "variant sku", "sku", "variant price", "price", "variant barcode", "barcode"),
            head=("title",),
        ),
    ),
    attributes=(Named("option# name", "option# value"),),
    attribute_columns=("* (product.metafields.*)",),
    internal=(
        *("* (product.metafields.shopify--discovery--*)", "* (product.metafields.seo.*)", "*(*.hs_code)"),
        *("* (product.metafields.reviews.*)", "* (*.country_of_origin)"),
        *(f"* (product.metafields.mm-google-shopping.{name})" for name in ("custom_*", "condition", "mpn", "size_*")),
    ),
    texts=dict.fromkeys(("variant barcode", "barcode"), "code"),
    empty=("Default Title",),
    order=("image position",),
    closed=True,
)

GOOGLE = Dialect(
    "google",
    "Google Merchant Center's feed (TSV, CSV, RSS, Atom) and what copies it (Microsoft, Meta, Criteo, OpenAI): one row "
    "a variant, joined by item_group_id.",
    signs={
        **{"image link": 0.5, "additional image link": 0.4, "item group id": 0.3, "google product category": 0.4},
        **{"availability": 0.2, "condition": 0.15, "gtin": 0.15, "mpn": 0.15, "id": 0.1, "title": 0.1, "link": 0.1},
        **{"price": 0.1, "brand": 0.1, "product type": 0.1, "age group": 0.2, "identifier exists": 0.3},
        **{"image[#].url": 0.7, "fb product category": 0.5, "sale price effective date": 0.3, "item group title": 0.3},
    },
    words={
        "picture": ("image link", "image[#].url", "image url"),
        "pictures": ("additional image link*", "additional image url*"),
        "label.category": ("google product category", "fb product category"),
        "text.features": ("product highlight",),
    },
    pairs={"product detail": "section:name:value"},
    ignored=("tax", "shipping", "shipping(*", "custom label #", "image[#].tag*", "* template"),
)

WOOCOMMERCE = Dialect(
    "woocommerce",
    "WooCommerce's product CSV in the shop's language: variations name their parent, which may stand after them.",
    signs={
        **{"visibility in catalog": 0.6, "is featured?": 0.6, "grouped products": 0.5, "backorders allowed?": 0.5},
        **{"attribute # name": 0.4, "attribute # value(s)": 0.5, "regular price": 0.3, "in stock?": 0.4, "type": 0.15},
        **{"parent": 0.25, "sku": 0.1, "short description": 0.2, "images": 0.2, "categories": 0.1, "upsells": 0.3},
        **{"external url": 0.3, "meta: *": 0.3, "gtin, upc, ean, or isbn": 0.8, "tax status": 0.2, "published": 0.1},
        **{"nom de l*attribut #": 0.5, "valeur* de l*attribut #": 0.5, "tarif régulier": 0.5, "ugs": 0.5},
        **{"mis en avant*": 0.4, "visibilité dans le catalogue": 0.6, "catégories": 0.1, "attribut # name": 0.4},
        **{"name des attributs #": 0.5, "wert* des attributs #": 0.5, "attribut # wert*": 0.5},
        **{"regulärer preis": 0.5, "bilder": 0.2, "kurzbeschreibung": 0.2, "sichtbarkeit im katalog": 0.6},
        **{"übergeordnet*": 0.3, "artikelnummer": 0.1, "kategorien": 0.1, "nombre del atributo #": 0.6},
        **{"valor* del atributo #": 0.6, "precio normal": 0.5, "visibilidad en el catálogo": 0.6, "imágenes": 0.2},
        **{"descripción corta": 0.2, "superior": 0.25, "nome* attributo #": 0.6, "valor* attributo #": 0.6},
        **{"prezzo di listino": 0.5, "visibilità nel catalogo": 0.6, "genitore": 0.25, "immagini": 0.2},
        **{"naam *attribuut #": 0.6, "waarde* *attribuut #": 0.6, "attribuut # naam": 0.6, "reguliere prijs": 0.5},
        **{"normale prijs": 0.3, "zichtbaarheid in catalogus": 0.6, "afbeeldingen": 0.2, "korte beschrijving": 0.2},
        **{"nome do atributo #": 0.6, "valor* do atributo #": 0.6, "preço normal": 0.5, "imagens": 0.2},
        **{
            "видимость в каталоге": 0.6,
            "*рекомендуемый?": 0.5,
            "базовая цена": 0.5,
            "*атрибута #": 0.5,
            "в наличии?": 0.3,
        },
        **{"widoczność w katalogu": 0.6, "*wyróżniony?": 0.5, "nazwa* atrybutu*": 0.6, "wartoś* atrybutu*": 0.6},
        **{"opublikowan*": 0.1, "obrazki": 0.3, "cena regularna": 0.3, "w magazynie?": 0.3},
    },
    words={
        "id": ("id", "sku", "ugs", "artikelnummer", "cod", "código", "артикул"),
        "title": ("name", "nom", "nombre", "nome", "naam", "имя", "nazwa"),
        "group": (),
        "picture": ("images", "bilder", "imágenes", "immagini", "afbeeldingen", "imagens", "изображения", "obrazki"),
        "code": ("gtin, upc, ean, or isbn", "gtin*"),
        "price": (
            *("regular price", "tarif régulier", "regulärer preis", "precio normal", "prezzo di listino"),
            *(
                "reguliere prijs",
                "normale prijs",
                "preço normal",
                "базовая цена",
                "cena regularna",
                "cena",
                "sale price",
            ),
        ),
        "language": ("meta: _wpml_import_language_code",),
        "label.category": ("categories",),
        "label.product_type": (),
        "text.keywords": ("tags",),
        "text.brand": ("brands", "marken", "marques", "marcas"),
    },
    ignored=("position", "download *"),
    grouping=(
        SameKey(("meta: _wpml_import_translation_group",), language=("meta: _wpml_import_language_code",)),
        NamesParent(
            (
                "parent",
                "übergeordnet*",
                "superior",
                "genitore",
                "bovenliggend*",
                "hoofd*",
                "ascendente",
                "pai",
                "родител*",
                "nadrzędn*",
                "rodzic",
            ),
            ("sku", "ugs", "artikelnummer", "cod", "артикул", "id"),
        ),
    ),
    attributes=(
        Named("attribute # name", "attribute # value*"),
        Named("nom de l*attribut #", "valeur* de l*attribut #"),
        Named("name des attributs #", "wert* des attributs #"),
        Named("attribut # name", "attribut # wert*"),
        Named("nombre del atributo #", "valor* del atributo #"),
        Named("nome* attributo #", "valor* attributo #"),
        Named("naam *attribuut #", "waarde* *attribuut #"),
        Named("attribuut # naam", "attribuut # waarde*"),
        Named("nome do atributo #", "valor* do atributo #"),
        Named("*имя атрибута #", "значени* атрибута #"),
        Named("название атрибута #", "значени* атрибута #"),
        Named("nazwa atrybutu #", "wartoś* atrybutu #"),
    ),
    texts={
        "description": "woocommerce",
        "short description": "woocommerce",
        **dict.fromkeys(
            ("beschreibung", "descripción", "descrizione", "beschrijving", "descrição", "описание", "opis"),
            "woocommerce",
        ),
        **dict.fromkeys(
            ("description courte", "kurzbeschreibung", "descripción corta", "breve descrizione"), "woocommerce"
        ),
        **dict.fromkeys(
            ("korte beschrijving", "descrizione breve", "descrição curta", "короткое описание", "krótki opis"),
            "woocommerce",
        ),
        **dict.fromkeys(
            ("name", "nom", "nombre", "nome", "naam", "sku", "ugs", "artikelnummer", "parent"), "unguarded"
        ),
        **dict.fromkeys(
            ("categories", "catégories", "kategorien", "categorías", "categorie", "categorieën", "категории"), "paths"
        ),
    },
    closed=True,
)

MAGENTO = Dialect(
    "magento",
    "Magento 2's (Adobe Commerce's) product CSV: rows of a store view are the product in its language, and variants "
    "that a configurable product lists are part of it, whether the shop also shows them by themselves or not.",
    signs={
        **{"store view code": 0.5, "attribute set code": 0.5, "configurable variations": 0.7, "product websites": 0.4},
        **{"additional attributes": 0.5, "base image": 0.3, "product online": 0.3, "additional images": 0.2},
        **{"product type": 0.1, "url key": 0.2, "tax class name": 0.3, "sku": 0.1, "visibility": 0.1, "name": 0.05},
        **{"small image": 0.1, "thumbnail image": 0.1, "categories": 0.05, "website id": 0.2, "special price": 0.1},
    },
    words={
        "id": ("sku",),
        "picture": ("base image", "image", "small image", "thumbnail image"),
        "pictures": ("additional images", "media gallery"),
        "language": ("store view code",),
        "group": (),
        "label.product_type": ("attribute set code",),
        "label.category": ("categories",),
    },
    ignored=("product type", "* label", "* labels"),
    grouping=(
        SameKey(("sku",), language=("store view code",)),
        ListsVariants("configurable variations", "sku"),
    ),
    pairs={"additional attributes": "name=value", "configurable variations": "variations"},
    internal=(
        *("has options", "required options", "quantity and stock status", "tax class id", "options container"),
        *("shipment type", "price view", "price type", "sku type", "weight type", "gift message available"),
        *("links purchased separately", "links title", "links exist", "samples title", "ts dimensions *", "msrp *"),
        *("gift wrapping available", "is returnable", "giftcard type", "allow *", "use config *", "url key"),
    ),
    texts={"categories": "paths/"},
    empty=("no_selection", "__EMPTY__VALUE__"),
    closed=True,
)

MAGENTO_1 = Dialect(
    "magento-1",
    "Magento 1's product CSV: rows without a SKU go on with the product above them (pictures, categories, languages).",
    signs={
        **{"_attribute_set": 0.4, "_root_category": 0.5, "_media_image": 0.5, "_product_websites": 0.4, "_store": 0.2},
        **{"_super_products_sku": 0.6, "_type": 0.1, "_category": 0.1, "sku": 0.1, "_media_is_disabled": 0.4},
    },
    words={
        "id": ("sku",),
        "picture": ("image", "small image", "thumbnail"),
        "pictures": ("_media_image",),
        "group": (),
        "label.category": ("_category",),
        "label.product_type": ("_attribute_set",),
    },
    ignored=("_type", "_root_category"),
    grouping=(Below("sku", {"": "continued row"}),),
    empty=("no_selection",),
    closed=True,
)

BIGCOMMERCE = Dialect(
    "bigcommerce",
    "BigCommerce's product CSV: the rows of a product's SKUs, rules, variants and images follow it.",
    signs={
        **{"item type": 0.2, "product code/sku": 0.5, "product image file - #": 0.5, "product image url - #": 0.5},
        **{"product image id - #": 0.4, "option set": 0.4, "product name": 0.15, "allow purchases?": 0.4},
        **{"product visible?": 0.3, "product upc/ean": 0.3, "gps *": 0.3, "bin picking number": 0.3, "item": 0.1},
        **{"brand name": 0.1, "product description": 0.1, "category details": 0.2, "product images": 0.2},
        **{"internal image url (export)": 0.8, "image url (import)": 0.8, "image is thumbnail": 0.5, "options": 0.1},
    },
    words={
        "id": ("product id", "product code/sku", "id", "sku"),
        "title": ("product name", "name"),
        "group": (),
        "picture": ("product image url - #", "product image file - #", "product images", "internal image url (export)"),
        "pictures": ("image url (import)",),
        VARIANT_PICTURES: ("variant image url",),
        "code": ("product upc/ean", "upc/ean", "gps global trade item number", "global trade item number", "gtin"),
        "text.brand": ("brand name", "brand"),
        "text.keywords": ("search keywords",),
        "label.category": ("category", "category string", "categories", "category details"),
        "label.product_type": (),
    },
    ignored=("item type", "item", "type", "product type", "product code/sku", "sku", "gps *"),
    grouping=(
        Below("item type", {"sku": "variant", "rule": "rule"}),
        Below("item", {"variant": "variant", "image": "picture row", "video": "video row"}),
    ),
    pairs={
        "product name": "bracketed",
        "options": "name|value",
        "product custom fields": "fields",
        "custom fields": "fields",
    },
    texts={"category": "paths/", "category string": "paths/", "categories": "paths/"},
    order=("product image is thumbnail - #", "product image sort* - #", "image is thumbnail", "image sort order"),
    closed=True,
)

PRESTASHOP = Dialect(
    "prestashop",
    "PrestaShop's product CSV (`;` between cells, `,` within); a combinations file in the same folder joins it.",
    signs={
        **{"active (0/1)": 0.6, "categories (x*": 0.6, "image urls (x*": 0.6, "price tax excl*": 0.4},
        **{"tax rules id": 0.3, "feature(name:*": 0.6, "url rewritten": 0.4, "acessories (x*": 0.4, "tags (x*": 0.4},
        **{"attribute (name:*": 0.7, "value (value:*": 0.5, "delete existing images (*": 0.5, "product id": 0.1},
        **{"name": 0.05, "manufacturer": 0.05, "summary": 0.05},
    },
    words={
        "id": ("product id", "id", "reference"),
        "title": ("name",),
        "group": (),
        "picture": ("image urls (x*", "image urls"),
        VARIANT_PICTURES: ("image url",),
        "price": ("price tax excl*", "price tax incl*", "retail price *"),
        "label.category": ("categories (x*",),
        "text.keywords": ("tags (x*",),
    },
    ignored=("reference", "supplier reference", "* (0 = no*", "unit price", "image alt texts (x*"),
    grouping=(SameKey(("product id", "id"), variant=("attribute (name:*",), head=("name",)),),
    attributes=(Named("attribute (name:*", "value (value:*", split=",", cut=":"),),
    pairs={"feature(name:*": "name:value:position"},
    texts={"categories (x*": "categories"},
    closed=True,
)

VENDURE = Dialect(
    "vendure",
    "Vendure's import CSV: a row without a name is a variant of the product above it; lists are split by `|`.",
    signs={
        **{"option groups": 0.5, "option values": 0.5, "variant assets": 0.5, "variant facets": 0.5, "facets*": 0.3},
        **{"assets": 0.4, "tax category": 0.3, "track inventory": 0.2, "stock on hand": 0.3, "slug": 0.2},
    },
    words={
        "id": ("slug", "sku"),
        "title": ("name",),
        "group": (),
        "picture": ("assets",),
        VARIANT_PICTURES: ("variant assets",),
    },
    grouping=(Below("name"),),
    attributes=(Named("option groups", "option values", split="|"),),
    pairs={"facets": "name:value", "variant facets": "name:value"},
    closed=True,
)

MEDUSA = Dialect(
    "medusa",
    "Medusa's product CSV, versions 1 and 2: one row a variant, the product's cells repeated.",
    signs={
        **{"product handle": 0.5, "product title": 0.3, "product thumbnail": 0.4, "variant option # name": 0.4},
        **{"product image # url": 0.4, "image # url": 0.2, "option # name": 0.1, "product discountable": 0.5},
        **{
            "product mid code": 0.5,
            "variant manage inventory": 0.4,
            "variant allow backorder": 0.4,
            "product tag #": 0.2,
        },
        **{"product profile name": 0.5, "product collection *": 0.3, "product status": 0.2, "product subtitle": 0.2},
        **{"product external id": 0.3, "variant id": 0.1, "product id": 0.1, "variant sku": 0.1, "price * [*": 0.2},
    },
    words={
        "id": ("id or handle",),
        "title": ("product title",),
        "group": (),
        "picture": ("product thumbnail", "product image # url", "image # url"),
        VARIANT_PICTURES: ("variant thumbnail", "variant image # url"),
        "code": ("variant ean", "variant upc", "variant barcode"),
        "price": ("variant price usd", "variant price eur", "price usd", "price eur", "variant price *", "price *"),
        "label.product_type": ("product type", "product type value"),
        "label.category": ("product category", "product category #", "product collection title"),
        "text.material": ("product material", "variant material"),
        "text.keywords": ("product tags", "product tag #"),
    },
    moved={"id or handle": ("product id", "product handle")},
    ignored=("variant title", "* id", "product handle"),
    grouping=(SameKey(("product handle", "id or handle")),),
    attributes=(
        Named("variant option # name", "variant option # value"),
        Named("option # name", "option # value"),
    ),
    empty=("Default Option Value", "Default option value", "Default option", "Default Option"),
    closed=True,
)

SALEOR = Dialect(
    "saleor",
    "Saleor's product export (CSV, XLSX): one row a variant, the product's cells repeated, descriptions as EditorJS.",
    signs={
        **{"variant sku": 0.25, "product media": 0.5, "variant media": 0.5, "product weight": 0.3, "variant id": 0.3},
        **{"variant weight": 0.3, "charge taxes": 0.4, "* (product attribute)": 0.7, "* (variant attribute)": 0.7},
        **{"* (channel *": 0.7, "* (warehouse quantity)": 0.5, "product type": 0.1, "id": 0.1, "collections": 0.15},
        **{"name": 0.1, "description": 0.1, "category": 0.1},
    },
    words={
        "id": ("id",),
        "group": (),
        "picture": ("product media", "media"),
        VARIANT_PICTURES: ("variant media",),
        "price": ("* (channel price amount)", "variant price"),
        "label.category": ("category",),
        "label.product_type": ("product type",),
    },
    grouping=(SameKey(("id", "name")),),
    attribute_columns=("* (product attribute)", "* (variant attribute)"),
    texts={"description*": "editorjs"},
    closed=True,
)

EBAY = Dialect(
    "ebay",
    "eBay's product feeds: MIP, with a row for each language, and the buyers' feed, whose descriptions are Base64.",
    signs={
        **{"localized for": 0.7, "attribute name #": 0.4, "attribute value #": 0.4, "group picture url": 0.4},
        **{"variation group id": 0.4, "variation specific name #": 0.5, "picture url #": 0.3, "epid": 0.4},
        **{"additional image urls": 0.4, "localized aspects": 0.6, "primary item group id": 0.6, "price value": 0.3},
        **{"primary item group type": 0.5, "item id": 0.15, "sku": 0.1, "title": 0.1},
    },
    words={
        "group": ("variation group id", "primary item group id"),
        "picture": ("picture url #", "group picture url", "image url"),
        "pictures": ("additional image urls",),
        "language": ("localized for",),
        "price": ("price value", "list price"),
        "text.description": ("product description", "description"),
    },
    grouping=(SameKey(("sku", "item id"), language=("localized for",)),),
    attributes=(
        Named("attribute name #", "attribute value #"),
        Named("variation specific name #", "variation specific value #"),
    ),
    texts={"description": "base64"},
    closed=True,
)

LANGUAGES = Dialect(
    "languages",
    "A table with a row for each language of a product: rows of one id in several languages (Ergonode, and others).",
    signs={},
    grouping=(SameKey(WORDS["id"], language=WORDS["language"]),),
)

SHOPS: tuple[Dialect, ...] = (
    *(
        SHOPIFY,
        GOOGLE,
        WOOCOMMERCE,
        MAGENTO,
        MAGENTO_1,
        BIGCOMMERCE,
        PRESTASHOP,
        VENDURE,
        MEDUSA,
        SALEOR,
        EBAY,
        LANGUAGES,
    ),
)
