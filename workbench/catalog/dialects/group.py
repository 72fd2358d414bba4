"""Which rows are one product: the groupings of a dialect, applied to a whole feed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch

import polars as pl

from workbench.catalog.dialects.cells import PAIRS
from workbench.catalog.dialects.dialect import Below, Grouping, ListsVariants, NamesParent, SameKey
from workbench.catalog.dialects.language import likeness
from workbench.catalog.dialects.words import folded, matching

# How much a row says about its product: a cell is taken from the first row of these that fills it.
CHOSEN, HEAD, VARIANT, OTHER_LANGUAGE = range(4)


@dataclass
class Rows:
    """What is known of each row of the feed; `head` of a product's own head row is itself."""

    head: list[int]
    role: list[str]
    weight: list[int]
    own: list[bool]  # whether its pictures are the product's, not a variant's


def grouped(cells: pl.DataFrame, groupings: Sequence[Grouping], language: str | None) -> Rows:
    """Each row's head, role and weight."""
    n = cells.height
    rows = alone(n)
    for grouping in groupings:
        _join(grouping, cells, rows, language)
    for row in range(n):
        near, rows.head[row] = rows.head[row], _root(rows.head, row)
        if rows.head[row] == row != near:  # it was in a circle
            rows.role[row], rows.weight[row], rows.own[row] = "product", HEAD, True
        elif rows.head[row] != near and rows.weight[row] == CHOSEN:  # a variant in that language, not the product
            rows.weight[row] = OTHER_LANGUAGE
    return rows


def alone(n: int) -> Rows:
    """Every row a product."""
    return Rows(list(range(n)), ["product"] * n, [HEAD] * n, [True] * n)


def _root(head: list[int], row: int) -> int:
    """The head at the end of the chain, which becomes short; of a circle, the row from which it is entered."""
    path = {row: None}
    at = row
    while head[at] != at and head[at] not in path:
        at = head[at]
        path[at] = None
    at = at if head[at] == at else row
    for passed in path:
        head[passed] = at
    return at


def _filled(cells: pl.DataFrame, words: Sequence[str]) -> list[str | None]:
    """The first filled cell of each row among these columns, stripped."""
    columns = matching(words, cells.columns)
    if not columns:
        return [None] * cells.height
    stripped = (pl.col(c).str.strip_chars().replace("", None) for c in columns)
    return cells.select(pl.coalesce(*stripped)).to_series().to_list()


@singledispatch
def _join(grouping: Grouping, cells: pl.DataFrame, rows: Rows, language: str | None) -> None:
    raise TypeError(grouping)


@_join.register
def _(grouping: SameKey, cells: pl.DataFrame, rows: Rows, language: str | None) -> None:
    keys = _filled(cells, grouping.words)
    tongues = _filled(cells, grouping.language) if grouping.language else []
    bring = None if grouping.variant == ("*",) else _filled(cells, grouping.variant)
    heads = [tongue is None for tongue in tongues] or [cell is not None for cell in _filled(cells, grouping.head)]
    first = {key: row for row, key in reversed(list(enumerate(keys))) if key is not None and heads[row]}
    for row, key in enumerate(keys):
        head = row if key is None else first.setdefault(key, row)
        if head == row or (tongues and tongues[row] == tongues[head]):
            continue
        rows.head[row] = head
        if tongues:
            rows.role[row], rows.weight[row] = f"language {tongues[row]}", OTHER_LANGUAGE
        else:
            picture = bring is not None and bring[row] is None
            rows.role[row], rows.weight[row] = "picture row" if picture else "variant", VARIANT
    if tongues and language:
        _choose(rows, keys, tongues, language)


def _choose(rows: Rows, keys: Sequence[str | None], tongues: Sequence[str | None], language: str) -> None:
    """The row of each product that comes nearest to the language asked for counts most."""
    best: dict[str, tuple[int, int]] = {}
    for row, key in enumerate(keys):
        near = likeness(tongues[row], language)
        if key is not None and near and near > best.get(key, (0, 0))[0]:
            best[key] = near, row
    for _, row in best.values():
        rows.weight[row] = CHOSEN


@_join.register
def _(grouping: Below, cells: pl.DataFrame, rows: Rows, language: str | None) -> None:
    roles = {folded(value): role for value, role in grouping.roles.items()}
    head = None
    for row, cell in enumerate(_filled(cells, [grouping.word])):
        role = roles.get(folded(cell or ""))
        if role is None:
            head = row
        elif head is not None:
            _as_variant(rows, row, head, role)
            rows.own[row] = role.endswith(" row")  # a picture row, a continued row: no variant


@_join.register
def _(grouping: NamesParent, cells: pl.DataFrame, rows: Rows, language: str | None) -> None:
    parents = _filled(cells, grouping.parent)
    place: dict[str, int] = {}
    for word in grouping.keys:
        for row, key in enumerate(_filled(cells, [word])):
            if key is not None:
                place.setdefault(key, row)
    ids = {f"id:{key}": row for row, key in enumerate(_filled(cells, grouping.keys[-1:])) if key is not None}
    for row, parent in enumerate(parents):
        head = None if parent is None else ids.get(parent.lower(), place.get(parent))
        if head is not None and head != row:
            _as_variant(rows, row, head)


@_join.register
def _(grouping: ListsVariants, cells: pl.DataFrame, rows: Rows, language: str | None) -> None:
    place: dict[str, list[int]] = {}
    for row, key in enumerate(_filled(cells, [grouping.key])):
        if key is not None and rows.head[row] == row:
            place.setdefault(key, []).append(row)
    options: Callable[[str], list[tuple[str, str]]] = PAIRS["options"]
    for row, cell in enumerate(_filled(cells, [grouping.word])):
        if cell is None or rows.weight[row] == OTHER_LANGUAGE:
            continue
        for variant in cell.split("|"):
            for name, key in options(variant):
                for child in place.get(key, []) if folded(name) == folded(grouping.key) else []:
                    if child != row and rows.head[child] == child:
                        _as_variant(rows, child, row)


def _as_variant(rows: Rows, row: int, head: int, role: str = "variant") -> None:
    if rows.weight[row] != OTHER_LANGUAGE:
        rows.role[row], rows.weight[row] = role, VARIANT
    rows.head[row], rows.own[row] = head, False
