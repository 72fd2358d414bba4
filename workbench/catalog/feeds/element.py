"""XML elements as rows: which element is the row, and its children as cells."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

GOOGLE = "http://base.google.com/ns/1.0"
_PRODUCTS = ("item", "entry", "product", "offer", "shopitem", "article", "listing")  # the first two mean much else
_HTML = {
    "a",
    "b",
    "br",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "span",
    "strong",
    "table",
    "ul",
}
_VALUES = ("href", "url", "src", "value")  # attributes that say what an empty element means


@dataclass(slots=True)
class Element:
    name: str
    attributes: dict[str, str]
    line: int = 0  # of a row, from 1
    parts: list[str | Element] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [part for part in self.parts if isinstance(part, Element)]

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str)).strip()


def record_path(counts: Counter[tuple[str, ...]], full: Collection[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The path of the element that is a row. counts: how often each path was met; full: those with elements in them.

    It is the outermost that repeats and has elements in it, of several such the most frequent. An element with a
    product's name above it is preferred (a feed of one item, with two `shipping` in it), or one that repeats below it
    (products within categories).
    """
    paths = [path for path in counts if path in full and len(path) > 1]
    repeated = [path for path in paths if counts[path] > 1]
    outermost = [path for path in repeated if not any(path[:n] in repeated for n in range(1, len(path)))]
    products = [path for path in paths if _local(path) in _PRODUCTS]
    if not outermost:
        return min(products or paths or [path for path in counts if counts[path] > 1], key=len, default=None)
    path = max(outermost, key=lambda path: (_local(path) in _PRODUCTS, counts[path]))
    above = [product for product in products if path[: len(product)] == product]
    below = [product for product in products if product[: len(path)] == path and _local(product) in _PRODUCTS[2:]]
    return min(above or below or [path], key=len)


def _local(path: tuple[str, ...]) -> str:
    return path[-1].rpartition(":")[2].lower()


def cells_of(row: Element, google: Iterable[str]) -> dict[str, str]:
    """Header word -> cell. A tag that repeats gets a number: `g:additional_image_link (2)`.

    `g:` is Google's prefix whatever the feed calls it (`google`: the feed's prefixes for it). Attributes of the row are
    cells; those of a child are `price.currency`, and a child told apart by `name` is `param.Colour`.
    """
    cells: dict[str, str] = {}
    for word, text in _words(row, set(google)):
        free, copy = word, 1
        while free in cells:
            copy += 1
            free = f"{word} ({copy})"
        cells[free] = text
    return cells


def _words(row: Element, google: set[str]) -> Iterator[tuple[str, str]]:
    yield from ((name, text) for name, text in row.attributes.items() if not name.startswith("xmlns"))
    for child in row.children:
        word = _word(child, google)
        if not child.attributes and len(child.parts) == 1 and isinstance(text := child.parts[0], str):  # nearly all
            yield word, text.strip()
            continue
        attributes = {name: text for name, text in child.attributes.items() if not name.startswith(("xmlns", "xml:"))}
        if name := attributes.pop("name", ""):
            word = f"{word}.{name}"
        value = _value(child, google)
        if not value:
            value = next((attributes.pop(name) for name in _VALUES if name in attributes), "")
        yield word, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield from ((f"{word}.{name}", text) for name, text in attributes.items())


def _word(element: Element, google: set[str]) -> str:
    prefix, colon, local = element.name.rpartition(":")
    return f"g:{local}" if colon and prefix in google else element.name


def _value(element: Element, google: set[str]) -> str | list[object] | dict[str, object]:
    """A text; of children that all bear one name their list; of others an object; HTML as it stood."""
    children = element.children
    if not children:
        return element.text
    if element.text or any(child.name.lower() in _HTML for child in children):
        return "".join(map(_markup, element.parts)).strip()
    found: dict[str, list[object]] = {}
    for child in children:
        value = _value(child, google) or next((child.attributes[n] for n in _VALUES if n in child.attributes), "")
        found.setdefault(_word(child, google), []).append(value)
    if len(found) == 1:
        (values,) = found.values()
        return values if len(values) > 1 or not isinstance(values[0], str) else values[0]
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _markup(part: str | Element) -> str:
    if isinstance(part, str):
        return escape(part, quote=False)
    attributes = "".join(f' {name}="{escape(text)}"' for name, text in part.attributes.items())
    inner = "".join(map(_markup, part.parts))
    return f"<{part.name}{attributes}>{inner}</{part.name}>" if inner else f"<{part.name}{attributes}/>"
