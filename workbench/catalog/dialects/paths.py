"""Category paths, as `A > B > C`: written in many ways, several in a cell, below roots that every product has."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.catalog.dialects.values import parsed, said


def path(cell: str, language: str | None = None) -> str:
    """One category path, `A > B > C`, written with `>`, `>>`, `/`, `|` or as a list of its levels."""
    value = parsed(cell)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(inner, list) for inner in value):  # several paths, each as a list of its levels
            return _deepest([[str(level) for level in levels] for levels in value])
        texts = [text for inner in value if (text := said(inner))]
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
    homes = ("home", "accueil", "inicio", "início", "startseite", "start", "strona główna", "главная", *_ROOTS)
    names = [name.strip() for name in re.split(r"[,;]", cell) if name.strip()]
    return next((n for n in names if n.casefold() not in homes), names[0] if names else "")


def path_of_tree(cell: str, language: str | None = None) -> str:
    """`["A >> B >> C >> …"]`: three levels, as further ones name the product; a lone root is the product's title."""
    levels = path(cell).split(" > ")
    return " > ".join(levels[:3]) if len(levels) > 1 else ""


def _deepest(paths: list[list[str]]) -> str:
    return max(map(_levels, paths), key=lambda path: path.count(" > "), default="")


def _levels(names: Sequence[str]) -> str:
    names = [name.strip() for name in names if name.strip()]
    return " > ".join(names[1:] if len(names) > 1 and names[0].casefold() in _ROOTS else names)
