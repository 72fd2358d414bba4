"""Grammars of cells: texts in several languages, lists of attributes, category paths.

PAIRS: name -> (cell -> its attributes as (name, value) in their order; none where the cell is no such thing)
TEXTS: name -> (cell, language asked for or None -> plain text; the cell itself where it is no such thing)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from workbench.catalog.feeds.table import cell_text, parse_json

Pairs = list[tuple[str, str]]

_LONGEST = 1_000_000  # characters of a cell that is parsed: a longer one is no list of attributes
_UNNAMED = "other"  # the name of an attribute that came without one
_NOTHING = ("", "none", "null", "nil", "nan")


def parsed(cell: str) -> Any:
    """The list or object in a cell, as JSON, Python, NumPy or Ruby writes it, scalars as text; else None."""
    cell = cell.strip()
    if not 2 <= len(cell) <= _LONGEST or cell[0] + cell[-1] not in ("[]", "{}", "()"):
        return None
    for read in (parse_json, _python, _ruby):
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
    outside = (re.sub(r":(\w+)\s*=>", r'"\1":', part) for part in parts[::2])
    outside = (re.sub(r"\bnil\b", "null", part.replace("=>", ":")) for part in outside)
    inside = (re.sub(r"\\([#'])", r"\1", part) for part in parts[1::2])
    return parse_json("".join(part for pair in _zipped(list(outside), list(inside)) for part in pair))


def _zipped(outside: Sequence[str], inside: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from zip(outside, [*inside, ""], strict=True)


def objects(cell: str) -> Pairs:
    """An object's fields, or a list of objects with a name and a value each (`key`, `value`); also within an object."""
    return list(_fields(parsed(cell)))


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _fields(inner)
    elif isinstance(value, dict):
        names = {str(name).casefold(): inner for name, inner in value.items()}
        if (said := next((k for k in ("value", "values") if k in names), None)) and _is_pair(names):
            name = next((names[k] for k in _NAMES if names.get(k)), _UNNAMED)
            yield from _pair(str(name), names[said])
        else:
            for name, inner in value.items():
                yield from _fields(inner) if _holds_objects(inner) else _pair(str(name), inner)


_NAMES = ("key", "name", "attribute", "label", "property", "title")


def _is_pair(names: Mapping[str, Any]) -> bool:
    return len(names) == 1 or any(k in names for k in _NAMES)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(inner, dict) for inner in value))


def _pair(name: str, value: Any) -> Iterator[tuple[str, str]]:
    text = cell_text(list(value) if isinstance(value, tuple) else value)
    if text is not None and text.strip().casefold() not in _NOTHING:
        yield name.strip() or _UNNAMED, text.strip()


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


def _gathered(pairs: Iterator[Sequence[str]] | Any) -> Pairs:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.strip() and value.strip():
            found.setdefault(name.strip(), []).append(value.strip())
    return [(name, ", ".join(dict.fromkeys(values))) for name, values in found.items()]


def in_language(cell: str, language: str | None, join: str = ", ") -> str:
    """`[{"language_tag": "en_US", "value": "Oak stool"}, …]`, `{"en": "Oak stool", …}`: the values in one language.

    The language asked for, else English, else the first; values without a language count as of every one.
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
    said = [(_tag(entry), text) for entry in value if (text := _said(entry))]
    best = max((tag for tag, _ in said), key=lambda tag: _nearness(tag, language), default="")
    return join.join(dict.fromkeys(text for tag, text in said if tag in (best, "")))


def _tag(entry: Any) -> str:
    names = ("language_tag", "language", "lang", "locale", "@language")
    return next((str(entry[n]) for n in names if entry.get(n)), "") if isinstance(entry, dict) else ""


def _said(entry: Any) -> str:
    if isinstance(entry, dict):
        entry = next((entry[n] for n in ("value", "text", "node_name", "name") if entry.get(n)), None)
    return (cell_text(entry) or "").strip()


def _nearness(tag: str, language: str | None) -> int:
    tag, wanted = tag.casefold().replace("-", "_"), (language or "en").casefold().replace("-", "_")
    if tag == wanted:
        return 4
    return 3 if tag[:2] == wanted[:2] else 2 if tag == "en_us" else 1 if tag[:2] == "en" else 0


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


def path(cell: str, language: str | None = None) -> str:
    """One category path, `A > B > C`, written with `>`, `>>`, `/`, `|` or as a list of its levels."""
    value = parsed(cell)
    if isinstance(value, (list, tuple)):
        texts = [text for inner in value if (text := _said(inner))]
        return path(texts[0]) if len(texts) == 1 or any(">" in t for t in texts) else _levels(texts)
    if ">" in cell:
        return _levels(re.split(r"\s*>+\s*", cell))
    return _levels(re.split(r"\n|(?<=\S)\s*[|/]\s*(?=\S)", cell.strip("/ ")))


def path_of_levels(cell: str, language: str | None = None) -> str:
    """A path whose levels were a list: `A, B, C`, or a line each where a name has a comma."""
    return _levels(cell.split("\n" if "\n" in cell else ", ")) if parsed(cell) is None else path(cell)


def path_of_shop(cell: str, language: str | None = None) -> str:
    r"""The main path of several, `Clothing > Tees, Sale` (a comma in a name is `\,`): the deepest, else the first."""
    paths = [path.replace("\\,", ",") for path in re.split(r"(?<!\\)[,;]\s*", cell)]
    return _deepest([re.split(r"\s*>+\s*", path) for path in paths])


def path_of_slashes(cell: str, language: str | None = None) -> str:
    """`Default Category/Gear/Bags,Default Category/Sale` (also `|`, `;` between): the deepest, without the root."""
    return _deepest([re.split(r"(?<!\\)/", one.strip(" /")) for one in re.split(r"[|;]|,(?! )", cell)])


_ROOTS = ("default category", "root catalog", "root", "categories", "all products")


def path_of_list(cell: str, language: str | None = None) -> str:
    """`Home,Pots`: the categories of a product; the first that is no root."""
    names = [name.strip() for name in cell.split(",") if name.strip()]
    return next((n for n in names if n.casefold() not in (*_ROOTS, "home")), names[0] if names else "")


def path_of_tree(cell: str, language: str | None = None) -> str:
    """`["A >> B >> C >> …"]`: three levels, as further ones name the product; a lone root is the product's title."""
    levels = path(cell).split(" > ")
    return " > ".join(levels[:3]) if len(levels) > 1 else ""


def _deepest(paths: list[list[str]]) -> str:
    return max(map(_levels, paths), key=lambda path: path.count(" > "), default="")


def _levels(names: Sequence[str]) -> str:
    names = [name.strip() for name in names if name.strip()]
    return " > ".join(names[1:] if len(names) > 1 and names[0].casefold() in _ROOTS else names)


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
    "name=value": magento,
    "name:value": facets,
    "name:value:position": features,
    "options": options,
}
TEXTS: Mapping[str, Callable[[str, str | None], str]] = {
    "languages": in_language,
    "lines": lines,
    "list": listed,
    "path": path,
    "levels": path_of_levels,
    "paths": path_of_shop,
    "paths/": path_of_slashes,
    "categories": path_of_list,
    "tree": path_of_tree,
    "tags": tags,
    "editorjs": editorjs,
    "bytes": unescaped,
}
