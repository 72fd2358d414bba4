"""The keys of a recipe by their paths, and the values that some may have: what a shell offers."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from workbench.recipe.schema import Recipe, Section, sections


def children(path: str) -> Iterator[tuple[str, str, bool]]:
    """Path, meaning, and whether it is a section, of each key directly below `path` ("": the top); of a list's entries
    as in `catalog.feeds.0.path`."""
    for section in _at(path.split(".") if path else []):
        for name, field in section.model_fields.items():
            yield f"{path}.{name}".lstrip("."), field.description or "", bool(list(sections(field.annotation)))


def values(path: str) -> list[str]:
    """Those of a key that has few; none for a key that isn't there."""
    above, _, name = path.rpartition(".")
    found = [s.model_fields[name] for s in _at(above.split(".") if above else []) if name in s.model_fields]
    return list(dict.fromkeys(value for field in found for value in _values(field)))


def _at(parts: list[str]) -> list[type[Section]]:
    """The sections that may stand there."""
    here: list[type[Section]] = [Recipe]
    for part in parts:
        if not part.isdigit():
            fields = [section.model_fields[part] for section in here if part in section.model_fields]
            here = [inner for field in fields for inner in sections(field.annotation)]
    return here


def _values(field: FieldInfo) -> Iterator[str]:
    def inner(annotation: Any) -> Iterator[str]:
        if annotation is bool:
            yield from ("true", "false")
        elif annotation is NoneType:
            yield "null"
        elif get_origin(annotation) is Literal:
            yield from map(str, get_args(annotation))
        else:
            for each in get_args(annotation):
                yield from inner(each)

    found = list(inner(field.annotation))
    return iter(found if found != ["null"] else [])
