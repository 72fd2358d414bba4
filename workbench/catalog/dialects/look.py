"""Header words of shops as data, and the roles a feed's columns seem to play.

Words are compared by `folded`: no case, no outer space, no `_`, `-` or space within, no `g:` before, and of
"Image link [image_link]" the part in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.catalog.dialects.dialect import Reading
from workbench.catalog.feeds.read import read_feed
from workbench.errors import DataError
from workbench.recipe.schema import Columns, Feed

# Role or attribute -> header words; where a feed has several of them, the first listed plays the role.
ROLES: Mapping[str, tuple[str, ...]] = {
    "id": (
        *("id", "sku", "variant sku", "item id", "product id", "listing id", "offer id", "article id", "asin"),
        *("article no", "article number", "item no", "item number", "product number", "item code", "product code"),
        *("reference", "code"),
    ),
    "title": (
        *(
            "title",
            "product title",
            "name",
            "product name",
            "item name",
            "product display name",
            "display name",
            "prod name",
        ),
        *("article name", "headline"),
    ),
    "group": (
        *("item group id", "group id", "group", "parent id", "parent sku", "parent no", "parent", "product group id"),
        *("variant group", "handle", "url handle", "product handle", "style id", "style code"),
    ),
    "picture": (
        *("picture", "image", "photo", "image link", "image src", "product image url", "image url", "picture url"),
        *("photo url", "main image", "base image", "primary image", "images", "pictures", "photos", "image urls"),
        *("image file", "image name", "image path", "picture file", "file name", "img", "thumbnail"),
    ),
}
TEXT: Mapping[str, tuple[str, ...]] = {
    "description": ("description", "body (html)", "body html", "product description", "long description", "details"),
    "summary": ("short description", "summary"),
    "features": ("bullet points", "bullet point", "features", "highlights"),
    "brand": ("brand", "vendor", "brand name", "manufacturer", "maker"),
    "color": ("color", "colour", "color name", "colour name", "base colour", "colour group name"),
    "material": ("material", "materials", "fabric"),
    "size": ("size", "sizes", "size name"),
    "pattern": ("pattern",),
    "keywords": ("keywords", "tags", "item keywords", "search terms"),
}
LABELS: Mapping[str, tuple[str, ...]] = {
    "category": (
        *("category", "categories", "product category", "google product category", "main category"),
        "master category",
    ),
    "subcategory": ("sub category", "subcategories"),
    "department": ("department", "department name"),
    "aisle": ("aisle",),
    "gender": ("gender",),
    "class": ("class", "label"),
    "product_type": ("product type", "type", "article type", "item type", "product type name"),
}
IGNORED: Mapping[str, tuple[str, ...]] = {
    "price": ("price", "sale price", "regular price", "variant price", "compare at price", "cost", "currency", "msrp"),
    "address": ("link", "url", "product url", "product link", "permalink", "additional image link"),
    "date": ("date", "created at", "updated at", "published at", "date added"),
    "stock": ("stock", "inventory", "quantity", "qty", "availability", "variant inventory qty", "in stock"),
    "code": ("gtin", "ean", "ean13", "upc", "barcode", "variant barcode", "isbn", "mpn", "manufacturer no"),
    "shop's own": ("published", "status", "visibility", "condition", "position", "image position", "weight", "rating"),
}

_PICTURE = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?)([?#].*)?$", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,\s]+([a-z]{3}|[$€£%])?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{4}")


@dataclass(frozen=True)
class Guess:
    """The roles a feed's columns seem to play, and a line for each of them on how that was found."""

    columns: Columns
    said: tuple[str, ...]


def folded(word: str) -> str:
    """A header word as it is compared."""
    word = word.strip().casefold()
    bracketed = re.search(r"\[(.+)\]$", word)
    return re.sub(r"[_\-\s]", "", bracketed[1] if bracketed else word.removeprefix("g:"))


def guess(path: Path, key: str = "catalog.feeds.0") -> Guess:
    """Guess from the header words and, where those are unknown, from the first cells.

    Raises DataError, naming the recipe key of the feed, when no id or no title can be found.
    """
    cells = read_feed(path, limit=200).cells
    left = {word: [c.strip() for c in cells[word] if c and c.strip()] for word in cells.columns}
    roles: dict[str, str] = {}
    text: dict[str, str] = {}
    labels: dict[str, str] = {}
    said: list[tuple[str, str, str]] = []

    def give(found: dict[str, str], role: str, word: str, why: str) -> None:
        role = f"{word} (2)" if role in found else role  # `brand` and `Brand` are two columns
        found[role] = word
        said.append((role if found is roles else f"{'text' if found is text else 'label'} {role}", word, why))
        del left[word]

    for found, known in ((roles, ROLES), (text, TEXT), (labels, LABELS)):
        for role, words in known.items():
            if word := next((w for k in words for w in left if folded(w) == folded(k)), None):
                give(found, role, word, "header word")
    for reason, words in {**IGNORED, **ROLES}.items():
        for word in [w for w in left if folded(w) in map(folded, words)]:
            said.append(("ignored", word, reason if reason in IGNORED else f"another {reason}"))
            del left[word]

    if "picture" not in roles and (word := next((w for w, v in left.items() if _are_pictures(v)), None)):
        give(roles, "picture", word, "cells: names of picture files")
    if "id" not in roles and (word := next((w for w, v in left.items() if _are_ids(v, cells.height)), None)):
        give(roles, "id", word, "cells: unique and short")
    readable = {word: values for word, values in left.items() if values and not _are_data(values)}
    wordiest = max(readable, key=lambda w: _words(readable[w]), default=None)
    if "title" not in roles and wordiest and _words(readable[wordiest]) >= 1.5:
        give(roles, "title", wordiest, "cells: most words")
        del readable[wordiest]
    for word, values in readable.items():
        if 1 < len(set(values)) <= len(values) / 5:
            give(labels, word, word, "cells: few values")
        elif _words(values) >= 2:
            give(text, word, word, "cells: words")
    said += [("ignored", word, "unknown word, nothing to read in its cells") for word in left]

    if missing := [role for role in ("id", "title") if role not in roles]:
        raise DataError(
            f"{path}: found no column for the {' and the '.join(missing)}; header words: {', '.join(cells.columns)}. "
            f"Write a recipe that names them: {', '.join(f'{key}.columns.{role}' for role in missing)}"
        )
    width = max(len(role) for role, _, _ in said)
    lines = tuple(f"{role:<{width}} <- '{word}' ({why})" for role, word, why in said)
    return Guess(Columns(**roles, text=text, labels=labels), lines)


def recipe_tree(feed: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The recipe for a bare feed as plain values, its paths relative to the feed's folder; and how it was guessed."""
    found = guess(feed)
    entry: dict[str, Any] = {"path": feed.name}
    said = found.said
    if found.columns.picture:
        entry["pictures"] = _pictures(feed)
        said += (f"pictures are looked for in {entry['pictures']}",)
    entry["columns"] = found.columns.model_dump(exclude_defaults=True)
    return {"name": feed.name.split(".")[0], "catalog": {"feeds": [entry]}}, said


def _pictures(feed: Path) -> str:
    """An archive that is named like the feed, else the feed's folder."""
    stem = feed.name.split(".")[0]
    return next((name for name in (f"{stem}.zip", f"{stem}.tar") if (feed.parent / name).exists()), ".")


def _are_pictures(values: list[str]) -> bool:
    return sum(bool(_PICTURE.search(v)) for v in values) > len(values) / 2


def _are_data(values: list[str]) -> bool:
    """Addresses, numbers, prices or dates: nothing to read."""
    return all(_ADDRESS.match(v) or _NUMBER.fullmatch(v) or _DATE.fullmatch(v) for v in values)


def _are_ids(values: list[str], rows: int) -> bool:
    return len(set(values)) == len(values) == rows and all(len(v) <= 40 and " " not in v for v in values)


def _words(values: list[str]) -> float:
    return sum(len(v.split()) for v in values) / len(values)


def look(feed: Feed, key: str, language: str | None = None) -> Reading:
    """How the feed is to be read. DataError, naming the recipe key, where no id or no title can be found."""
    assert feed.path is not None
    found = guess(feed.path, key)
    return Reading("plain", feed.columns or found.columns, language, said=found.said)
