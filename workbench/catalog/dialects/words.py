"""Header words that any shop may use, by the role they play, in ten languages; and how words are compared.

A word of a dialect or of this file may hold `#` for a number and `*` for anything: `image #`, `* (metafields.*)`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

# Role, text.NAME or label.NAME -> header words; where a feed has several of them, the first listed plays the role.
WORDS: Mapping[str, tuple[str, ...]] = {
    "id": (
        *("id", "sku", "variant sku", "item id", "product id", "listing id", "offer id", "article id", "asin"),
        *("article no", "article number", "item no", "item number", "product number", "item code", "product code"),
        *("item sku", "product sku", "sku id", "uniq id", "unique id", "posting id", "parent asin", "uid", "uuid"),
        *("id produit", "référence", "référence produit", "réf", "artikelnummer", "artikel nr", "art nr", "produkt id"),
        *("artikelcode", "productcode", "id producto", "código", "referencia", "codice", "codice articolo"),
        *("id prodotto", "código do produto", "kod", "kod produktu", "商品id", "商品コード", "商品番号", "品番"),
        *("артикул", "код товара", "id товара"),
        *("reference", "code"),
    ),
    "title": (
        *("title", "product title", "name", "product name", "item name", "item title", "product display name"),
        *("display name", "prod name", "article name", "headline", "titre", "nom", "nom du produit", "désignation"),
        *("libellé", "titel", "bezeichnung", "artikelbezeichnung", "produktname", "produkttitel", "artikelname"),
        *("nombre", "título", "nombre del producto", "nome", "titolo", "nome prodotto", "naam", "productnaam"),
        *("nome do produto", "nazwa", "nazwa produktu", "tytuł", "商品名", "品名", "タイトル", "商品名称"),
        *("название", "наименование", "название товара", "наименование товара", "имя"),
    ),
    "group": (
        *("item group id", "group id", "group", "parent id", "parent sku", "parent no", "parent", "product group id"),
        *("variant group", "handle", "url handle", "product handle", "style id", "style code", "product code"),
        *("parent product id", "master id", "master sku", "label group", "parent code", "model code"),
        *("id parent", "référence parent", "elternartikel", "sku padre", "codice padre", "親商品コード"),
    ),
    "picture": (
        *("picture", "image", "photo", "image link", "image src", "product image url", "image url", "picture url"),
        *("photo url", "main image", "main image url", "base image", "primary image", "images", "pictures", "photos"),
        *("image urls", "product images", "image file", "image name", "image path", "picture file", "file name"),
        *("filename", "img", "img url", "image source", "image[#].url", "image[#]", "images[#].url", "images[#]"),
        *("image #", "image url #", "image # url", "images #", "picture #", "photo #", "img #", "image link #"),
        *("product image #", "product image # url", "images/#", "images.#", "images/#/url", "images.#.url"),
        *("bild", "bilder", "bild url", "bildlink", "bild #", "image principale", "lien image", "imagen", "imágenes"),
        *("imagen principal", "enlace imagen", "immagine", "immagini", "link immagine", "afbeelding", "afbeeldingen"),
        *("afbeelding url", "afbeeldingslink", "imagem", "imagens", "link da imagem", "zdjęcie", "zdjęcia"),
        *("link do zdjęcia", "画像", "画像url", "商品画像", "商品画像url", "画像#", "thumbnail"),
        *("изображения", "изображение", "картинка", "фото", "ссылка на изображение"),
    ),
    "pictures": (
        *("additional image link*", "additional image #", "additional images"),
        *("additional image url*", "other images", "other image"),
        *("other image url #", "extra images", "more images", "gallery", "gallery images", "image gallery"),
        *("images", "pictures", "photos", "image[#].url", "image[#]", "images[#].url", "images[#]", "image #"),
        *("image url #", "image # url", "images #", "picture #", "photo #", "img #", "image link #"),
        *("product image #", "product image # url", "images/#", "images.#", "images/#/url", "images.#.url", "bild #"),
        *(
            "画像#",
            "back file name",
            "front file name",
            "side file name",
            "file names",
            "autres images",
            "weitere bilder",
        ),
    ),
    "code": (
        *("gtin", "gtin13", "gtin14", "ean", "ean13", "ean code", "upc", "barcode", "variant barcode", "isbn"),
        *("isbn13", "global trade item number", "bar code", "code barre", "code barres", "code ean", "strichcode"),
        *("código de barras", "codice a barre", "streepjescode", "kod kreskowy", "kod ean", "jan", "janコード"),
    ),
    "price": (
        *("price", "regular price", "list price", "retail price", "variant price", "unit price", "sale price"),
        *("actual price", "selling price", "current price", "discounted price", "price amount", "msrp", "prix"),
        *("price eur", "price usd", "price gbp"),
        *("prix ttc", "preis", "verkaufspreis", "precio", "prezzo", "prijs", "preço", "cena", "価格", "販売価格"),
        *("цена", "базовая цена", "price (*", "prix (*", "preis (*", "precio (*", "prezzo (*"),
    ),
    "language": (
        *("language", "locale", "lang", "language code", "content language", "language tag", "product locale"),
        *("localized for", "langue", "sprache", "idioma", "lingua", "taal", "język", "言語"),
    ),
    "split": ("split", "partition", "data split", "dataset split", "train test split"),
    "text.description": (
        *("description", "body (html)", "body html", "product description", "long description", "item description"),
        *("detail desc", "details", "full description", "descriptif", "beschreibung", "produktbeschreibung"),
        *("artikelbeschreibung", "descripción", "descrizione", "beschrijving", "omschrijving", "descrição", "opis"),
        *("商品説明", "説明", "商品説明文", "описание", "описание товара"),
    ),
    "text.summary": (
        *("short description", "summary", "subtitle", "product subtitle", "short desc", "description courte"),
        *("kurzbeschreibung", "descripción corta", "breve descrizione", "descrizione breve", "korte beschrijving"),
        *("descrição curta", "krótki opis", "キャッチコピー", "краткое описание", "короткое описание"),
    ),
    "text.features": (
        *("bullet points", "bullet point", "features", "highlights", "product highlight", "key features"),
        *("bullet point #", "product bullet point", "about product", "merkmale", "caractéristiques"),
    ),
    "text.brand": (
        *("brand", "vendor", "brand name", "product brand", "manufacturer", "maker", "marque", "fabricant", "marke"),
        *("hersteller", "marca", "merk", "fabrikant", "marka", "producent", "fabricante", "produttore", "ブランド"),
        *("メーカー", "бренд", "производитель", "торговая марка"),
    ),
    "text.color": (
        *("color", "colour", "color name", "colour name", "product color", "base colour", "base color"),
        *("colour group name", "couleur", "farbe", "colore", "kleur", "cor", "kolor", "色", "カラー", "цвет"),
    ),
    "text.material": (
        *("material", "materials", "fabric", "product material", "matière", "matériau", "materiale", "materiaal"),
        *("materiał", "素材", "материал"),
    ),
    "text.size": (
        *("size", "sizes", "size name", "taille", "größe", "grösse", "talla", "taglia", "maat", "tamanho"),
        *("rozmiar", "サイズ", "размер"),
    ),
    "text.pattern": ("pattern", "motif", "muster", "柄"),
    "text.keywords": (
        *("keywords", "tags", "item keywords", "search terms", "search keywords", "mots clés", "étiquettes"),
        *("schlagwörter", "stichworte", "etiquetas", "tag", "trefwoorden", "キーワード"),
    ),
    "label.category": (
        *("category", "categories", "product category", "google product category", "main category", "category name"),
        *("master category", "category path", "breadcrumbs", "product category tree", "catégorie", "catégories"),
        *("kategorie", "kategorien", "warengruppe", "categoría", "categorías", "categoria", "categorie"),
        *("categorieën", "categorias", "kategoria", "kategorie produktu", "カテゴリ", "カテゴリー"),
        *("категория", "категории"),
    ),
    "label.subcategory": ("sub category", "subcategories", "sous catégorie", "unterkategorie", "サブカテゴリ"),
    "label.department": ("department", "department name", "rayon", "abteilung"),
    "label.aisle": ("aisle",),
    "label.gender": ("gender", "genre", "geschlecht", "性別"),
    "label.class": ("class", "label"),
    "label.product_type": (
        *("product type", "type", "article type", "item type", "product type name", "produkttyp", "type de produit"),
        *("tipo", "tipo de producto", "tipo di prodotto", "producttype", "typ produktu"),
    ),
}
IGNORED: Mapping[str, tuple[str, ...]] = {
    "price": (
        "compare at price",
        "cost",
        "cost per item",
        "currency",
        "price currency",
        "currency code",
        "special price",
        "* price *",
    ),
    "address": ("link", "url", "product url", "product link", "permalink", "mobile link", "canonical url", "slug"),
    "date": ("date", "created at", "updated at", "published at", "date added", "* date", "crawl timestamp"),
    "stock": ("stock", "inventory", "quantity", "qty", "availability", "variant inventory *", "in stock", "lager"),
    "code": ("mpn", "manufacturer no", "manufacturer part number", "hs code", "tax code"),
    "smaller picture": ("small image", "thumbnail image", "swatch image", "image thumbnail", "thumb", "thumbnail url"),
    "about a picture": ("image position", "image alt text", "* image alt text", "image phash", "alt text", "image id"),
    "shop's own": (
        *("published", "status", "visibility", "condition", "position", "weight", "rating", "rank", "score"),
        *("shipping", "shipping weight", "tax", "adult", "is bundle", "identifier exists", "seo *", "meta *"),
        *("custom label #", "average rating", "rating number", "ratings", "reviews", "review count"),
    ),
}

_BRACKETED = re.compile(r".*\[([a-z][a-z_ ]{3,}|id|mpn|ean|upc|gtin)\]")
_COPY = re.compile(r" \((\d+|of any|in [\w-]+)\)$")  # a header word that repeats, or a column read from several
_NAMESPACE = re.compile(r"^(\{[^}]*\}|(g|c|s):)")


@lru_cache(16_384)
def folded(word: str) -> str:
    """A header word as it is compared: no case, accent, outer sign, space, `_` or `-`, no `g:` before, no `(2)` after.

    Of `Image link [image_link]` it is the part in brackets.
    """
    word = _NAMESPACE.sub("", _COPY.sub("", word).strip("\ufeff\"'*#: \t").casefold())
    bracketed = _BRACKETED.fullmatch(word)
    plain = unicodedata.normalize("NFKD", bracketed[1] if bracketed else word)
    return re.sub(r"[_\-\s\u0300-\u036f]", "", plain)


@lru_cache(16_384)
def pattern(word: str) -> re.Pattern[str]:
    """What a word of a dialect matches among folded header words."""
    parts = re.split(r"([#*])", word)
    return re.compile("".join({"#": r"\d+", "*": ".*"}.get(p) or re.escape(folded(p)) for p in parts), re.DOTALL)


def matching(words: Iterable[str], header: Sequence[str]) -> list[str]:
    """The header words that match, in the order of `words`; those of one word with numbers in them by their numbers."""
    spelled: dict[str, list[str]] = {}
    for word in header:
        spelled.setdefault(folded(word), []).append(word)
    found: dict[str, None] = {}
    for word in words:
        hits = spelled.get(folded(word), [])
        if "#" in word or "*" in word:
            alike = {key for key in spelled if pattern(word).fullmatch(key)}
            hits = [h for h in header if folded(h) in alike]
        found.update(dict.fromkeys(sorted(hits, key=_numbers) if "#" in word else hits))
    return list(found)


def twins(header: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns that a feed writes with Google's namespace and without, an item this way, an item that way."""
    spaced = [word.removeprefix("g:") for word in header if word.startswith("g:")]
    both = dict.fromkeys([*(word for word in spaced if word in header), *(("title", "description") if spaced else ())])
    return {f"{word} (of any)": (f"g:{word}", word) for word in both if word in (*header, *spaced)}


def filled(word: str, number: str) -> str:
    """The word of a dialect with its `#` filled in, to find `option2 value` for `option2 name`."""
    return word.replace("#", number)


def _numbers(word: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", folded(word))]
