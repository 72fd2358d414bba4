"""The pictures that a cell names: every way in which feeds write one or several of them.

One name · `a, b` · `a,b` · `a|b` · `a;b` · a line each · a list as JSON, Python, NumPy or PostgreSQL writes it ·
objects with an address each, as a list or as lists of fields · a template over other columns. Commas are legal in an
address, so a cell is cut only where one name ends and the next begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import Formatter
from typing import Any

import polars as pl

from workbench.catalog.dialects.values import parsed
from workbench.catalog.dialects.words import matching

NONE = ("", "no_selection", "null", "none", "nan", "nil", "undefined", "false", "-", "--", "n/a", "na", "#n/a", "<na>")

# Keys of an object under which its picture is named: the best resolution first.
_ADDRESS = (
    *("hi_res", "original", "full", "large", "url", "src", "href", "link", "image_url", "imageurl", "image_link"),
    *("image", "picture", "photo", "file_name", "filename", "path", "file", "name", "medium", "small", "thumb"),
    *("thumbnail", "value"),
)
_FLAGS = ("is_main", "main", "is_primary", "primary", "is_thumbnail", "is_default", "featured")

_KINDS = r"\.(?:jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|hei[cf]|jp2|svg)"
_NOT_PLAIN = r"""[,;|\[{(\n\t\\]|^(//|["'])|["']$|\s(https?:)?//"""
# Lists that nobody could cut in two ways: addresses, also as JSON writes them, or names with an ending.
_ADDRESSES = r"""^https?://[^\s,;|\\"']+(?:[\s,;|]+https?://[^\s,;|\\"']+)+$"""
_JSON_ADDRESSES = r"""^\[\s*"https?://[^\s"\\]+"(?:\s*,\s*"https?://[^\s"\\]+")*\s*\]$"""
_NAME = rf"""/?[^\s,;|\\"':/\[{{(][^\s,;|\\"':]*{_KINDS}"""
_NAMES = rf"(?i)^{_NAME}(?:\s*[,;|]\s*{_NAME})+$"
_ENDS = re.compile(rf"(?i){_KINDS}([?#]\S*)?$|::\d+::[^:]+$")
_BEGINS = re.compile(r"(?i)(https?:)?//|[^\s=]+::")
_CUT = re.compile(r"\s*(?<!\\)[,;|\n\t]\s*|\s+(?=(?:https?:)?//)")
_BARE = re.compile(r"[\w.+=-]{5,}")


def split_pictures(cells: pl.Series) -> pl.Series:
    """List[String]: the names in each cell, in their order, each once; empty where the cell names none."""
    text = cells.cast(pl.String).fill_null("").str.strip_chars().str.replace_all("&amp;", "&", literal=True)
    odd = text.str.contains(_NOT_PLAIN)
    lists = text.to_frame("text").select(pl.concat_list("text")).to_series()
    if (none := _is_none(text)).any():
        lists = lists.zip_with(~none, pl.Series([[]], dtype=pl.List(pl.String)))
    if odd.any():
        lists = woven(lists.filter(~odd), _read(text.filter(odd)), odd)
    return lists.alias(cells.name)


def _is_none(text: pl.Series) -> pl.Series:
    short = text.str.len_bytes() <= max(map(len, NONE))
    at = short.arg_true()
    return short.scatter(at, text.gather(at).str.to_lowercase().is_in(NONE))


def _read(text: pl.Series) -> pl.Series:
    """`split_pictures` of cells that may name several."""
    cut = (
        pl.when(pl.col("text").str.contains(pattern)).then(pl.col("text").str.extract_all(name))
        for pattern, name in (
            (_ADDRESSES, r"https?://[^\s,;|]+"),
            (_NAMES, r"[^\s,;|]+"),
            (_JSON_ADDRESSES, r'https?://[^"]+'),
        )
    )
    names = text.to_frame("text").select(pl.coalesce(*cut).list.unique(maintain_order=True)).to_series()
    rest = names.is_null()
    slow = pl.Series([names_in(cell) for cell in text.filter(rest)], dtype=pl.List(pl.String))
    return woven(names.filter(~rest), slow, rest)


def woven(left: pl.Series, right: pl.Series, is_right: pl.Series) -> pl.Series:
    """The values of both in one series: where `is_right`, the next of `right`, else the next of `left`."""
    at = pl.concat([(~is_right).arg_true(), is_right.arg_true()])
    return pl.concat([left, right]).gather(at.arg_sort())


def names_in(cell: str) -> list[str]:
    """The slow twin of `split_pictures`, for one cell."""
    cell = cell.strip().replace("&amp;", "&")
    value = parsed(cell)
    bare = cell[1:-1] if cell[:1] + cell[-1:] in ("[]", "{}") else cell  # PostgreSQL's, or a list without quotes
    names = _cut(bare) if value is None else list(_walk(value))
    return list(dict.fromkeys(name for name in map(_whole, names) if name.lower() not in NONE))


def _cut(cell: str) -> list[str]:
    """Cut a cell where one name ends and the next begins."""
    pieces = _CUT.split(cell)
    if len(pieces) > 1 and all(_BARE.fullmatch(piece) for piece in pieces if piece):
        return pieces  # ids of pictures, or names without folders
    seams = _CUT.findall(cell)
    names, between = pieces[:1], ""
    for seam, piece in zip(seams, pieces[1:], strict=True):
        between += seam  # `;,` with nothing between stands in an address as well
        if not piece:
            continue
        if piece.lower() in NONE or _BEGINS.match(piece) or _follows(names[-1], piece):
            names.append(piece)
        else:
            names[-1] += between + piece
        between = ""
    return names


def _follows(name: str, piece: str) -> bool:
    """Whether a name is whole, and the piece after it another: `a.jpg`, `b.jpg`; or both are paths of one site."""
    if _ENDS.search(name):
        return bool(_ENDS.search(piece))
    return name[:1] == piece[:1] == "/" or name.lower() in NONE


def _whole(name: str) -> str:
    """The name without quotes and escapes; `//host/a.jpg` gets its scheme."""
    name = name.strip().strip("\"'").replace("\\,", ",").strip()
    return f"https:{name}" if re.match(r"//[\w-]+\.[\w.-]+/", name) else name


def _walk(value: Any) -> Iterator[str]:
    """The names in a list or an object, the picture said to be the main one first."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for inner in sorted(value, key=lambda x: not _is_main(x)):
            yield from _walk(inner)
    elif isinstance(value, dict):
        fields = {str(key).lower(): inner for key, inner in value.items()}
        known = [fields[key] for key in _ADDRESS if fields.get(key)]
        if any(isinstance(inner, list) for inner in known) and not any(isinstance(i, dict) for k in known for i in k):
            yield from _walk(_rows(fields))
        elif known:
            yield from _walk(next((k for k in known if not _nothing(k)), []))
        else:
            for inner in fields.values():
                if isinstance(inner, (list, dict)):
                    yield from _walk(inner)


def _rows(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """`{"large": [a, b], "thumb": [c, d]}` as one object a picture."""
    lists = {key: inner for key, inner in fields.items() if isinstance(inner, list)}
    longest = max(map(len, lists.values()))
    return [{key: inner[at] for key, inner in lists.items() if at < len(inner)} for at in range(longest)]


def _nothing(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in NONE


def _is_main(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    fields = {str(key).lower(): inner for key, inner in value.items()}
    said = str(fields.get("variant") or fields.get("role") or fields.get("type")).lower()
    return said in ("main", "primary") or any(str(fields.get(flag)).lower() in ("true", "1") for flag in _FLAGS)


def fill_template(cells: pl.DataFrame, template: str) -> pl.Series:
    """One picture's name a row from other columns: `images/{article_id:.3}/{article_id}.jpg`.

    `{column}` is the cell and `{column:.3}` its first 3 characters. A number that went through a float (`1263597046.0`)
    is mended. Null where a cell is empty, or the feed has no such column.
    """
    parts: list[pl.Expr] = []
    for text, column, how, _ in Formatter().parse(template):
        parts.append(pl.lit(text))
        if column is not None:
            found = matching([column], cells.columns)
            cell = pl.col(found[0]) if found else pl.lit(None, pl.String)
            cell = cell.str.strip_chars().str.replace(r"^(\d+)\.0+$", "$1").replace("", None)
            parts.append(cell.str.slice(0, int(how[1:])) if how else cell)
    return cells.with_columns(pl.concat_str(parts).alias("picture"))["picture"]
