"""Lists and objects in a cell, as JSON, Python, NumPy or Ruby writes them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from workbench.catalog.feeds.table import cell_text

_LONGEST = 1_000_000  # characters of a cell that is parsed: a longer one is no list of attributes
# Numbers as they are written; line ends within strings.
_json = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, strict=False).decode


def parsed(cell: str) -> Any:
    """The list or object in a cell, as JSON, Python, NumPy or Ruby writes it, scalars as text; else None."""
    cell = cell.strip()
    if not 2 <= len(cell) <= _LONGEST or cell[0] + cell[-1] not in ("[]", "{}", "()"):
        return None
    for read in (_json, _python, _ruby):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, (list, tuple, dict)) else None
    return None


def _python(cell: str) -> Any:
    """A Python literal; `nan`, `array([...], dtype=object)` and lists without commas as pandas and NumPy print them."""
    cell = re.sub(r"array\((\[[^\[\]]*\])(,\s*dtype=\w+)?\)", r"\1", cell)
    cell = re.sub(r"(?<=[\[{(,:\s])nan(?=[\]}),\s])", "None", cell)
    cell = re.sub(r"(?<=['\"])\s+(?=['\"])", ", ", cell) if cell[0] == "[" and "," not in cell else cell
    return ast.literal_eval(cell)


def _ruby(cell: str) -> Any:
    """A Ruby hash, `{"a"=>[{"b"=>nil}]}`: only what stands outside its strings is changed."""
    if "=>" not in cell:
        raise ValueError
    parts = re.split(r'("(?:[^"\\]|\\.)*")', cell, flags=re.DOTALL)
    parts[::2] = [re.sub(r":(\w+)\s*=>", r'"\1":', part) for part in parts[::2]]
    parts[::2] = [re.sub(r"\bnil\b", "null", part.replace("=>", ":")) for part in parts[::2]]
    parts[1::2] = [re.sub(r"\\([#'])", r"\1", part) for part in parts[1::2]]
    return _json("".join(parts))


def said(entry: Any) -> str:
    """The text of an entry, or of what it names as its value."""
    if isinstance(entry, dict):
        entry = next((entry[n] for n in ("value", "text", "node_name", "name", "title", "label") if entry.get(n)), None)
    return (cell_text(entry) or "").strip()
