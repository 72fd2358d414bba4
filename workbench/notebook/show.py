"""How things look in a notebook: HTML that needs nothing else, whatever the user's data holds."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

MOST = 24  # cards: a notebook is saved with its pictures


@dataclass(frozen=True)
class Sure:
    """A value, and how sure the model is of it, from 0 to 1."""

    value: Any
    probability: float | None


@dataclass(frozen=True)
class Card:
    """A listing with its picture (the bytes of a PNG or JPEG file) and what is said of it."""

    id: str
    title: str
    picture: bytes | None
    said: Mapping[str, Any]


def cards(headline: str, shown: Sequence[Card], of: int) -> str:
    """Listings side by side; `of` how many they are."""
    return _page("cards", headline=headline, cards=shown, more=of - len(shown))


def strips(headline: str, shown: Sequence[tuple[Sequence[Card], Mapping[str, Any]]], of: int) -> str:
    """Listings that belong together, a line for each, with what is said of them."""
    return _page("strips", headline=headline, strips=shown, more=of - len(shown))


def facts(headline: str, said: Mapping[str, Any], after: str = "") -> str:
    """Names and values; `after` is HTML of this module."""
    return _page("facts", headline=headline, said=said) + after


def table(headline: str, header: Sequence[str], rows: Sequence[Sequence[Any]], lines: Sequence[str] = ()) -> str:
    """A table, and lines below it."""
    return _page("table", headline=headline, header=header, rows=rows, lines=lines)


def text(headline: str, said: str) -> str:
    """Text as it stands."""
    return _page("text", headline=headline, said=said)


def _page(kind: str, **content: Any) -> str:
    return _template().render(kind=kind, **content)


@cache
def _template() -> Template:
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"uri": _uri, "said": _said}
    environment.tests["sure"] = lambda value: isinstance(value, Sure)
    return environment.get_template("notebook.html")


def _uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
