"""Attributes that feeds write as names and values: option columns, lists in a cell -> a column for each attribute."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from workbench.catalog.dialects.dialect import FURTHER, Dialect, Named
from workbench.catalog.dialects.escapes import PAIRS
from workbench.catalog.dialects.group import CHOSEN, HEAD, OTHER_LANGUAGE, Rows
from workbench.catalog.dialects.words import filled, folded, matching

Pairs = list[list[tuple[str, str]]]  # for each row, (name, value) in their order
Found = dict[int, dict[str, list[str]]]  # head row -> folded name -> values

_MOST = 24  # attributes that get a column of their own


def pairs_of(cells: pl.DataFrame, dialect: Dialect, rows: Rows) -> Pairs:
    """Every row's attributes. A name that only a product's first row gives is that of its other rows too."""
    found: Pairs = [[] for _ in range(cells.height)]
    for named in dialect.attributes:
        for name in matching([named.name], cells.columns):
            numbers = re.findall(r"\d+", folded(name))
            for value in matching([filled(named.value, numbers[-1]) if numbers else named.value], cells.columns)[:1]:
                _named(named, cells[name].to_list(), cells[value].to_list(), rows, found)
    for word, grammar in dialect.pairs.items():
        for column in matching([word], cells.columns):
            for row, cell in enumerate(cells[column]):
                found[row] += PAIRS[grammar](cell) if cell is not None else []
    for column in matching(dialect.attribute_columns, cells.columns):
        name = column.split("(")[0].strip()
        for row, cell in enumerate(cells[column]):
            found[row] += [(name, cell)] if cell is not None else []
    return found


def _named(named: Named, names: Sequence[str | None], values: Sequence[str | None], rows: Rows, found: Pairs) -> None:
    known: dict[int, str] = {rows.head[row]: name for row, name in reversed(list(enumerate(names))) if name}
    for row, value in enumerate(values):
        name = names[row] or known.get(rows.head[row])
        if name and value:
            pieces = zip(_pieces(name, named), _pieces(value, named), strict=False)
            found[row] += [(n, v) for n, v in pieces if n and v]


def _pieces(cell: str, named: Named) -> list[str]:
    pieces = cell.split(named.split) if named.split else [cell]
    return [(p.split(named.cut)[0] if named.cut else p).strip() for p in pieces]


def merged(pairs: Pairs, rows: Rows) -> Found:
    """Each product's attributes: values of its head, then those that its variants add.

    What the row in the language asked for says stands in place of what the head says.
    """
    found: Found = {}
    chosen: set[tuple[int, str]] = set()
    for row in sorted(range(len(pairs)), key=lambda r: rows.weight[r]):
        head, weight = rows.head[row], rows.weight[row]
        for name, value in pairs[row] if weight != OTHER_LANGUAGE else ():
            key = folded(name)
            if weight == CHOSEN:
                chosen.add((head, key))
            if weight == HEAD and (head, key) in chosen:
                continue
            values = found.setdefault(head, {}).setdefault(key, [])
            said = {value.casefold() for value in values}
            values += [v for v in _values(value) if v.casefold() not in said]
    return found


def _values(cell: str) -> list[str]:
    r"""`Red, Blue` and `Red; Blue` are two values; `\,` is a comma within one."""
    return [v.replace("\\,", ",").strip() for v in re.split(r"(?<!\\)[,;]\s+", cell) if v.strip()]


def named_columns(pairs: Pairs, header: Sequence[str]) -> dict[str, str]:
    """Derived column -> folded name, for the most frequent attributes in the order they are met."""
    spelled: dict[str, str] = {}
    counted: Counter[str] = Counter()
    for row in pairs:
        for name, _ in row:
            spelled.setdefault(folded(name), name)
        counted.update({folded(name) for name, _ in row})
    often = {name for name, _ in counted.most_common(_MOST)}
    taken = {folded(word) for word in header}
    return {f"{word} (attribute)" if name in taken else word: name for name, word in spelled.items() if name in often}


def columns(found: Found, heads: Sequence[int], wanted: Mapping[str, str]) -> pl.DataFrame:
    """A column for each wanted attribute, and `further attributes` for the others."""
    none: dict[str, list[str]] = {}
    each = [found.get(head, none) for head in heads]
    own = {column: [", ".join(of[name]) if name in of else None for of in each] for column, name in wanted.items()}
    known = set(wanted.values())
    further = ["; ".join(f"{n}: {', '.join(v)}" for n, v in of.items() if n not in known) or None for of in each]
    return pl.DataFrame({**own, FURTHER: further}, dict.fromkeys([*own, FURTHER], pl.String))
