"""Character references (`&eacute;`, `&#233;`) as the characters they stand for."""

from __future__ import annotations

import html
from html.entities import html5

import polars as pl

MAY_BE_ENTITY = r"&[#a-zA-Z]"
_TOKEN = r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*)[;=]?"
_WITHOUT_SEMICOLON = ("nbsp", "amp", "lt", "gt", "quot")  # `?a=1&copy=2` and `&reg` are parts of addresses


def decoded(cells: pl.Series) -> pl.Series:
    """One level of references decoded: `&amp;eacute;` is `&eacute;` then, and é when decoded again."""
    tokens = cells.str.extract_all(_TOKEN).explode().drop_nulls().unique()
    # The longest first, also those that stand for nothing, so that `&amp` isn't found within `&ample`.
    meanings = {token: _meaning(token) for token in sorted(tokens, key=lambda token: (-len(token), token))}
    if all(token == meaning for token, meaning in meanings.items()):
        return cells
    return cells.str.replace_many(list(meanings), list(meanings.values()), leftmost=True)


def _meaning(token: str) -> str:
    name = token[1:]
    if name.startswith("#") and not name.endswith("="):
        return html.unescape(token if token.endswith(";") else f"{token};") if len(name) > 2 else token
    return html5.get(name, token) if name.endswith(";") or name in _WITHOUT_SEMICOLON else token
