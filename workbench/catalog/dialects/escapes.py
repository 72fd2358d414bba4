"""What single shop systems do within a cell, added to the grammars of `cells.py`: escapes, lists of options."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from workbench.catalog.dialects import cells


def woocommerce(cell: str, language: str | None = None) -> str:
    r"""`\n` is a line end and `\\n` is `\n`; a leading `'` guards spreadsheets from formulas."""
    return re.sub(r"\\(\\n|n)", lambda m: "\n" if m[1] == "n" else "\\n", unguarded(cell))


def unguarded(cell: str, language: str | None = None) -> str:
    """Without the `'` that guards spreadsheets from `=`, `+`, `-`, `@`, tab and return."""
    return cell[1:] if re.match(r"'[=+\-@\t\r]", cell) else cell


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
    return [(name.strip(), value.strip()) for name, _, value in found if name.strip() and value.strip()]


PAIRS: Mapping[str, Callable[[str], list[tuple[str, str]]]] = {
    **cells.PAIRS,
    "variations": variations,
    "bracketed": bracketed,
    "name|value": name_and_value,
    "fields": fields,
}
TEXTS: Mapping[str, Callable[[str, str | None], str]] = {
    **cells.TEXTS,
    "woocommerce": woocommerce,
    "unguarded": unguarded,
    "base64": base64_text,
}
