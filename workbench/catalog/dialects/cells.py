"""Grammars of cells: texts in several languages, lists of attributes, and more.

PAIRS: name -> (cell -> its attributes as (name, value) in their order; none where the cell is no such thing)
TEXTS: name -> (cell, language asked for or None -> plain text; the cell itself where it is no such thing)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from workbench.catalog.dialects import paths
from workbench.catalog.dialects.values import parsed, said
from workbench.catalog.feeds.table import cell_text

Pairs = list[tuple[str, str]]

_UNNAMED = "other"  # the name of an attribute that came without one
_NOTHING = ("", "none", "null", "nil", "nan")


def objects(cell: str) -> Pairs:
    """An object's fields, or a list of objects with a name and a value each (`key`, `value`); also within an object."""
    return list(_fields(parsed(cell)))


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _fields(inner)
    elif isinstance(value, dict):
        names = {str(name).casefold(): inner for name, inner in value.items()}
        if (key := next((k for k in ("value", "values") if k in names), None)) and _is_pair(names):
            name = next((names[k] for k in _NAMES if names.get(k)), _UNNAMED)
            yield from _pair(str(name), names[key])
        else:
            for name, inner in value.items():
                yield from _fields(inner) if _holds_objects(inner) else _pair(str(name), inner)


def details(cell: str) -> Pairs:
    """As `objects`, without a product's places in lists of best sellers, whose names are categories."""
    value = parsed(cell)
    if isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if "rank" not in name.casefold()}
    return list(_fields(value))


_NAMES = ("key", "name", "attribute", "label", "property", "title")


def _is_pair(names: Mapping[str, Any]) -> bool:
    return len(names) == 1 or any(k in names for k in _NAMES)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(inner, dict) for inner in value))


def _pair(name: str, value: Any) -> Iterator[tuple[str, str]]:
    text = cell_text(list(value) if isinstance(value, tuple) else value)
    if text is not None and text.strip().casefold() not in _NOTHING:
        yield name.strip(" :") or _UNNAMED, text.strip()


def magento(cell: str) -> Pairs:
    r"""`name=value,"note=wide, low",sizes=S|M`: a quoted pair may hold commas, `\"` is a quote."""
    pairs: Pairs = []
    whole = ""
    for piece in re.split(r',(?=\s*"?\w[\w .:-]{0,80}=)', cell):
        whole = f"{whole},{piece}" if whole else piece.strip()
        if re.match(r'"(?!.*(?<!\\)"$)', whole, re.DOTALL) and len(whole) < 10_000:
            continue  # a quote that is still open
        if whole[:1] == '"':
            whole = whole[1:-1].replace('""', '"')
        name, _, value = whole.partition("=")
        if value[:1] not in ("{", "["):  # JSON keeps its own escapes
            value = re.sub(r"(?<=\w)\|(?=\w)", ", ", value).replace('\\"', '"')
        pairs += _pair(name, value.strip(","))
        whole = ""
    return pairs


def facets(cell: str) -> Pairs:
    """`brand:Acme|colour:red|colour:blue`: a name that comes again has several values."""
    return _gathered(piece.partition(":")[::2] for piece in re.split(r"[|;\n]", cell) if ":" in piece)


def features(cell: str) -> Pairs:
    """`Material:Oak:1,Height:45 cm:2`: the last part is a position (and a fourth says whether it is the shop's own)."""
    pieces = re.split(r"[,|](?=[^,|:]+:)", cell)
    return _gathered(re.sub(r"(:\d*){1,2}$", "", piece).partition(":")[::2] for piece in pieces if ":" in piece)


def options(cell: str) -> Pairs:
    """`[RT]Size=M,[RB]Color=Red`: the brackets say which control the shop shows. Also `sku=A,size=S`."""
    pieces = re.split(r",\s*(?=\[\w+\]|[^,=]+=)", cell)
    found = (re.sub(r"^\s*\[\w+\]", "", piece).partition("=")[::2] for piece in pieces if "=" in piece)
    return _gathered((name, re.sub(r":#[0-9a-fA-F]{3,8}$", "", value)) for name, value in found)  # Red:#FF0000


def _gathered(pairs: Iterable[Sequence[str]]) -> Pairs:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.strip() and value.strip():
            found.setdefault(name.strip(), []).append(value.strip())
    return [(name, ", ".join(dict.fromkeys(values))) for name, values in found.items()]


def in_language(cell: str, language: str | None, join: str = ", ") -> str:
    """`[{"language_tag": "en_US", "value": "Oak stool"}, …]`, `{"en": "Oak stool", …}`: the values in one language.

    The language asked for, else what is called the main one, else English, else the first; values without a language
    count as of every one.
    """
    value = parsed(cell)
    if isinstance(value, dict):
        if all(isinstance(inner, list) for inner in value.values()):  # a dict of lists, as Parquet keeps them
            value = [dict(zip(value, row, strict=False)) for row in zip(*value.values(), strict=False)]
        elif "value" in value:
            value = [value]
        else:
            value = [{"language_tag": tag, "value": inner} for tag, inner in value.items()]
    if not isinstance(value, list):
        return cell
    found = [(_tag(entry), text) for entry in value if (text := said(entry))]
    best = max((tag for tag, _ in found), key=lambda tag: _nearness(tag, language), default="")
    return join.join(dict.fromkeys(text for tag, text in found if tag in (best, "")))


def _tag(entry: Any) -> str:
    names = ("language_tag", "language", "lang", "locale", "@language")
    return next((str(entry[n]) for n in names if entry.get(n)), "") if isinstance(entry, dict) else ""


def _nearness(tag: str, language: str | None) -> int:
    tag, wanted = tag.casefold().replace("-", "_"), (language or "en").casefold().replace("-", "_")
    if tag == wanted:
        return 4 + (language is not None)
    if tag in ("main", "default"):
        return 5 if language is None else 2
    return 3 if tag[:2] == wanted[:2] else 2 if tag == "en_us" else 1 if tag[:2] == "en" else 0


def named(cell: str, language: str | None = None) -> str:
    """`{"id": 3, "name": "Acme"}`, or a list of such: the names; else as `in_language`."""
    value = parsed(cell)
    entries = value if isinstance(value, list) else [value]
    texts = [said(entry) for entry in entries if isinstance(entry, dict)]
    return ", ".join(dict.fromkeys(texts)) if texts and all(texts) else in_language(cell, language)


def lines(cell: str, language: str | None) -> str:
    """A list of paragraphs or bullet points, a line each."""
    value = parsed(cell)
    if not isinstance(value, (list, tuple)):
        return cell
    return in_language(cell, language, "\n")


def listed(cell: str, language: str | None) -> str:
    """A list as words, `Oak, Brass`; an empty list is no text."""
    value = parsed(cell)
    return in_language(cell, language) if isinstance(value, (list, tuple)) else "" if value == {} else cell


def tags(cell: str, language: str | None = None) -> str:
    """`en:teas,en:green-teas` as `teas, green teas`."""
    names = (re.sub(r"^[a-z]{2,3}:", "", tag.strip()).replace("-", " ") for tag in cell.split(","))
    return ", ".join(dict.fromkeys(name for name in names if name))


def editorjs(cell: str, language: str | None = None) -> str:
    """The blocks of the EditorJS editor, a line each: paragraphs, headers, lists, quotes."""
    value = parsed(cell)
    if not isinstance(value, dict) or not isinstance(value.get("blocks"), list):
        return cell
    data = (block.get("data") for block in value["blocks"] if isinstance(block, dict))
    return "\n".join(line for block in data for line in _written(block))


def _written(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, list):
        for inner in value:
            yield from _written(inner)
    elif isinstance(value, dict):
        for name in ("text", "content", "caption", "items"):
            yield from _written(value.get(name))


def unescaped(cell: str, language: str | None = None) -> str:
    r"""Bytes that Python printed: `b'Caf\xc3\xa9'` and `Caf\xc3\xa9` as `Café`. What is no UTF-8 stays as it is."""
    whole = re.fullmatch(r"""\s*b(['"])(.*)\1\s*""", cell, re.DOTALL)
    text = re.sub(r"\\(['\"\\])", r"\1", whole[2]) if whole else cell
    text = re.sub(r"(?:\\x[0-9a-fA-F]{2})+", _decoded, text)
    return re.sub(r"\\[nrt]", " ", text) if whole else text


def _decoded(escapes: re.Match[str]) -> str:
    try:
        return bytes.fromhex(escapes[0].replace("\\x", "")).decode()
    except UnicodeDecodeError:
        return escapes[0]


PAIRS: Mapping[str, Callable[[str], Pairs]] = {
    "objects": objects,
    "details": details,
    "name=value": magento,
    "name:value": facets,
    "name:value:position": features,
    "options": options,
}
BRACKETED = ("languages", "names", "lines", "list", "editorjs")  # of TEXTS: cells without brackets stay as they are
TEXTS: Mapping[str, Callable[[str, str | None], str]] = {
    "languages": in_language,
    "names": named,
    "lines": lines,
    "list": listed,
    "path": paths.path,
    "levels": paths.path_of_levels,
    "paths": paths.path_of_shop,
    "paths/": paths.path_of_slashes,
    "categories": paths.path_of_list,
    "tree": paths.path_of_tree,
    "tags": tags,
    "editorjs": editorjs,
    "bytes": unescaped,
}
