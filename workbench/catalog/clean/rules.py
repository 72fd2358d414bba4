"""The rules for texts, in the order in which they apply, and what each changed.

A rule is cheap masks of the cells that it could change, and the change of these. Where cells still look like
something to clean after all rules (`&amp;lt;b&gt;` was a tag, encoded twice), the rules apply to them again until they
don't: cleaned text is clean, however often it is cleaned. NFC and never NFKC, which turns 42½ into 421⁄2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

import polars as pl

from workbench.catalog.clean import entities, html
from workbench.recipe.schema import Clean

_EXAMPLES = 5
_PASSES = 8  # deeper is no text: what still reads as tags or entities then loses its `<` and `&`

# Groups of at most ten characters are found by vector instructions, ten times as fast as one class of all of them.
# Category Cc but for tab, line ends, vertical tab, form feed and next line, which are white space.
_CONTROLS = (
    r"([\x00-\x08])|([\x0e-\x17])|([\x18-\x1f\x7f])",
    r"([\x80-\x84])|([\x86-\x8f])|([\x90-\x99])|([\x9a-\x9f])",
)
_CONTROL = "|".join(_CONTROLS)
# Zero width space, marks of direction, soft hyphen, byte order mark. Joiners stay: scripts and emoji need them.
_INVISIBLE = "([\u00ad\u200b\u200e\u200f\ufeff])|([\u202a-\u202e\u2060-\u2064])|([\u2066-\u2069])"
# What isn't a single space.
_SPACES = (
    "  ",
    r"[\t\n\x0b\x0c\r]",
    "([\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000])|([\u2000-\u2005])|([\u2006-\u200a])",
)


def _has(*patterns: str) -> pl.Expr:
    """Whether a cell has one of these."""
    return reduce(or_, map(pl.first().str.contains, patterns))


# Masks of cells. They are made once: a chunk is asked hundreds of times.
_NOT_PLAIN = _has(r"[^ !-%'-;=-~]|  |^ | $")  # plain: printable ASCII without `&` and `<`, single spaces within
_NOT_ASCII = pl.first().str.len_bytes() != pl.first().str.len_chars()
_MARKUP = _has(f"{html.MAY_BE_TAG}|{entities.MAY_BE_ENTITY}")
# Letters that UTF-8's first bytes look like when read as Windows-1252, then what its other bytes look like.
_MOJIBAKE = _has("[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|[\u0080-\u009f]")
_HAS_CONTROL = _has(*_CONTROLS)
_COMPOSABLE = _has("[\u0300-\U0010ffff]")  # all but the Latin letters that are composed already
_UNEVEN = _has(*_SPACES) | (pl.first().str.strip_chars().str.len_bytes() != pl.first().str.len_bytes())


@dataclass(frozen=True)
class Rule:
    name: str  # its switch in `catalog.clean`
    may_change: tuple[pl.Expr, ...]  # masks of the cells, cheapest first; others stay as they are
    change: Callable[[pl.Series], pl.Series]


@dataclass(frozen=True, order=True)
class Example:
    """A cell before and after one rule."""

    position: int  # of the row among all products read
    column: str
    id: str | None = field(compare=False)
    before: str | None = field(compare=False)
    after: str | None = field(compare=False)


@dataclass
class Changes:
    """How many cells each rule changed, and the first of them."""

    cells: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def add(self, rule: str, cells: int, examples: Sequence[Example]) -> None:
        self.cells[rule] = self.cells.get(rule, 0) + cells
        self.examples[rule] = sorted([*self.examples.get(rule, ()), *examples])[:_EXAMPLES]

    def include(self, other: Changes) -> None:
        for rule, cells in other.cells.items():
            self.add(rule, cells, other.examples[rule])


@dataclass(frozen=True)
class Changed:
    """The cells of a column that a rule changed: their index, and the first of them before and after."""

    index: pl.Series
    first: list[tuple[int, str | None, str | None]]

    @classmethod
    def of(cls, index: pl.Series, differs: pl.Series, before: pl.Series, after: pl.Series) -> Changed:
        """`index` is that of these cells in their column, `differs` that of the changed ones among them."""
        return cls(index[differs], [(index[at], before[at], after[at]) for at in differs.head(_EXAMPLES)])

    def then(self, later: Changed) -> Changed:
        """With the cells that the same rule changed in a later turn; what a cell was is what it was in the first."""
        index = pl.concat([self.index, later.index.filter(~later.index.is_in(self.index.implode()))])
        known = set(self.index.filter(self.index.is_in([at for at, _, _ in later.first])))
        first = sorted([*self.first, *(change for change in later.first if change[0] not in known)])[:_EXAMPLES]
        return Changed(index, first)

    def spread(self, cells: pl.Series, distinct: pl.Series) -> Changed:
        """What changed in all cells, this being what did in the distinct ones, which are in the order of the cells."""
        index = cells.is_in(distinct[self.index].implode()).arg_true()
        known = {distinct[at]: (before, after) for at, before, after in self.first}
        return Changed(index, [(at, *known[cells[at]]) for at in index.head(_EXAMPLES)])


Found = dict[str, Changed]  # by rule


def _mended(cells: pl.Series) -> pl.Series:
    """UTF-8 that was read as another encoding: ftfy mends what can't be meant, and leaves CAFÉ® alone."""
    from ftfy import TextFixerConfig, fix_encoding

    certain = TextFixerConfig(replace_lossy_sequences=False, unescape_html=False)
    distinct = cells.unique()
    return cells.replace(distinct, [fix_encoding(text, certain) for text in distinct])


# HTML goes before entities, so that `&lt;3` isn't a tag of anything.
_RULES = (
    Rule("mojibake", (_NOT_ASCII, _MOJIBAKE), _mended),
    Rule("control", (_HAS_CONTROL,), lambda c: c.str.replace_all(_CONTROL, "")),
    Rule("html", (_has(html.MAY_BE_TAG),), html.to_text),
    Rule("entities", (_has(entities.MAY_BE_ENTITY),), entities.decoded),
    Rule("invisible", (_has(_INVISIBLE),), lambda c: c.str.replace_all(_INVISIBLE, "")),
    Rule("nfc", (_NOT_ASCII, _COMPOSABLE), lambda c: c.str.normalize("NFC")),
    Rule("white_space", (_UNEVEN,), lambda c: c.str.replace_all(r"\s{2,}|[^\S ]", " ").str.strip_chars()),
)


def text_rules(clean: Clean) -> list[Rule]:
    """The rules that the recipe leaves on."""
    return [rule for rule in _RULES if getattr(clean, rule.name)]


def apply(rules: Sequence[Rule], cells: pl.Series, found: Found) -> pl.Series:
    """The cells after the rules; what each changed is added to `found`."""
    where = _where(_NOT_PLAIN, cells)  # the cells that this turn is about
    before, cleaned = _at(cells, where), cells
    for turn in range(_PASSES + 2):
        if where.is_empty():
            break
        bare = before.str.replace_all("[<&]", " ") if turn == _PASSES else before
        after = _once(rules, bare, where, found)
        cleaned = _with(cleaned, where, after)
        again = _suspect(after, (after != before).arg_true())
        where, before = where[again], after[again]
    return cleaned


def _suspect(cells: pl.Series, changed: pl.Series) -> pl.Series:
    """Of the changed cells those that look as if there were more to clean."""
    now = cells[changed]
    mangled = _where(_NOT_ASCII, now)
    mangled = mangled[_where(_MOJIBAKE, now[mangled])]
    return changed[pl.concat([_where(_MARKUP, now), mangled]).unique().sort()]


def _once(rules: Sequence[Rule], cells: pl.Series, where: pl.Series, found: Found) -> pl.Series:
    """Each rule once; `where` is the index of these cells among all."""
    for rule in rules:
        touched = _touched(rule, cells)
        if touched.is_empty():
            continue
        before = _at(cells, touched)
        after = rule.change(before)
        differs = (before != after).arg_true()
        if differs.is_empty():
            continue
        changed = Changed.of(where[touched], differs, before, after)
        found[rule.name] = found[rule.name].then(changed) if rule.name in found else changed
        cells = _with(cells, touched, after)
    return cells


def examples(column: str, changed: Changed, position: int, ids: pl.Series) -> list[Example]:
    """The first of the changed cells; `position` is that of the row with index 0."""
    return [Example(position + at, column, ids[at], *_near_change(old, new)) for at, old, new in changed.first]


def _near_change(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    """Long texts as what surrounds their first difference."""
    old, new = before or "", after or ""
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, same - 60)

    def cut(text: str | None) -> str | None:
        return text and ("…" if start else "") + text[start : start + 240] + ("…" if len(text) > start + 240 else "")

    return cut(before), cut(after)


def _touched(rule: Rule, cells: pl.Series) -> pl.Series:
    """The index of each cell that the rule may change."""
    first, *others = rule.may_change
    touched = _where(first, cells)
    for mask in others:
        touched = touched[_where(mask, _at(cells, touched))]
    return touched


def _where(mask: pl.Expr, cells: pl.Series) -> pl.Series:
    """The index of the cells for which it holds."""
    return cells.to_frame().select_seq(mask.arg_true()).to_series()


def _at(cells: pl.Series, where: pl.Series) -> pl.Series:
    return cells if len(where) == len(cells) else cells[where]


def _with(cells: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    """The cells, with these values there."""
    return values.alias(cells.name) if len(where) == len(cells) else cells.clone().scatter(where, values)


def without_control(cells: pl.Series) -> pl.Series:
    where = _where(_HAS_CONTROL, cells)
    return _with(cells, where, _at(cells, where).str.replace_all(_CONTROL, ""))
