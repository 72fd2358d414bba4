"""What single shop systems do within a cell, added to the grammars of `cells.py`: escapes, lists of options."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from workbench.catalog.dialects import cells
from workbench.catalog.dialects.values import parsed


def woocommerce(cell: str, language: str | None = None) -> str:
    r"""`\n` is a line end and `\\n` is `\n`; a leading `'` guards spreadsheets from formulas."""
    return re.sub(r"\\(\\n|n)", lambda m: "\n" if m[1] == "n" else "\\n", unguarded(cell))


def unguarded(cell: str, language: str | None = None) -> str:
    """Without the `'` that guards spreadsheets from `=`, `+`, `-`, `@`, tab and return."""
    return cell[1:] if re.match(r"'[=+\-@\t\r]", cell) else cell


def unquoted(cell: str, language: str | None = None) -> str:
    """Without the `'` that makes spreadsheets leave the digits of a code as they are."""
    return cell.removeprefix("'")


def base64_text(cell: str, language: str | None = None) -> str:
    """Base64 of UTF-8; the cell itself where it is none."""
    try:
        text = base64.b64decode(cell.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return cell
    return text if text.isprintable() or "\n" in text else cell


def variations(cell: str) -> list[tuple[str, str]]:
    """`sku=A,size=S|sku=B,size=M`: the options of a product's variants."""
    return [(n, v) for variant in cell.split("|") for n, v in cells.options(variant) if n.strip().lower() != "sku"]


def bracketed(cell: str) -> list[tuple[str, str]]:
    """`[RT]Size=M,[RB]Color=Red`, in a column that holds names of products besides."""
    return cells.options(cell) if re.match(r"\s*\[\w+\]", cell) else []


def name_and_value(cell: str) -> list[tuple[str, str]]:
    """`Type=Rectangle|Name=Size|Value=M|Type=Swatch|Name=Color|Value=Red`."""
    return re.findall(r"Name=([^|]*)\|Value=([^|]*)", cell)


def fields(cell: str) -> list[tuple[str, str]]:
    """`Material=Oak;Finish=Oil`."""
    found = (piece.partition("=") for piece in re.split(r"[;\n]", cell))
    return [(n, v) for name, _, value in found if (n := name.strip(' "')) and (v := value.strip(' "'))]


def product_details(cell: str) -> list[tuple[str, str]]:
    """Google's `General:Fabric:Cotton,:Fit:Slim` (section, name, value), and an object with a field for each."""
    value = parsed(cell)
    if value is None:
        pieces = (piece.split(":", 2) for piece in re.split(r",(?=[^,:]*:[^,:]*:)", cell))
        return [(piece[1], piece[2]) for piece in pieces if len(piece) == 3]
    objects = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
    return [
        (str(one.get("attribute_name")), str(one["attribute_value"])) for one in objects if "attribute_value" in one
    ]


PAIRS: Mapping[str, Callable[[str], list[tuple[str, str]]]] = {
    **cells.PAIRS,
    "variations": variations,
    "bracketed": bracketed,
    "name|value": name_and_value,
    "fields": fields,
    "section:name:value": product_details,
}
TEXTS: Mapping[str, Callable[[str, str | None], str]] = {
    **cells.TEXTS,
    "woocommerce": woocommerce,
    "unguarded": unguarded,
    "code": unquoted,
    "base64": base64_text,
}
