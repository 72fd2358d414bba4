"""The rules for texts, in the order in which they apply, and what each changed.

A rule is cheap masks of the cells that it could change, and the change of these. Where cells still look like
something to clean after all rules (`&amp;lt;b&gt;` was a tag, encoded twice), the rules apply to them again until they
don't: cleaned text is clean, however often it is cleaned. NFC and never NFKC, which turns 42½ into 421⁄2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from workbench.catalog.clean import entities, html
from workbench.recipe.schema import Clean

_EXAMPLES = 5
_PASSES = 8  # deeper is no text: what still reads as tags or entities then loses its `<` and `&`

# Letters that UTF-8's first bytes look like when read as Windows-1252, then what its other bytes look like.
_MOJIBAKE = "[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|[\u0080-\u009f]"
# Category Cc but for tab, line ends, vertical tab, form feed and next line, which are white space.
_CONTROL = r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
# Zero width space, marks of direction, soft hyphen, byte order mark. Joiners stay: scripts and emoji need them.
_INVISIBLE = "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
# All but the Latin letters that are composed already.
_COMPOSABLE = "[\u0300-\U0010ffff]"
_NOT_PLAIN = r"[^ !-%'-;=-~]|  |^ | $"  # plain: printable ASCII without `&` and `<`, single spaces within
_SUSPECT = f"{html.MAY_BE_TAG}|{entities.MAY_BE_ENTITY}|{_MOJIBAKE}"


@dataclass(frozen=True)
class Rule:
    name: str  # its switch in `catalog.clean`
    may_change: tuple[Callable[[pl.Series], pl.Series], ...]  # cells -> mask, cheapest first; others stay as they are
    change: Callable[[pl.Series], pl.Series]


@dataclass(frozen=True, order=True)
class Example:
    """A cell before and after one rule."""

    position: int  # of the row among all products read
    column: str
    before: str = field(compare=False)
    after: str = field(compare=False)


@dataclass
class Changes:
    """What the rules changed: the count of cells for each rule, and its first examples."""

    cells: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def add(self, rule: str, cells: int, examples: Sequence[Example] = ()) -> None:
        self.cells[rule] = self.cells.get(rule, 0) + cells
        self.examples[rule] = sorted([*self.examples.get(rule, ()), *examples])[:_EXAMPLES]

    def include(self, other: Changes) -> None:
        for rule, cells in other.cells.items():
            self.add(rule, cells, other.examples[rule])


def text_rules(clean: Clean) -> list[Rule]:
    """The rules that the recipe leaves on. HTML goes before entities, so that `&lt;3` isn't a tag of anything."""
    rules = (
        Rule("mojibake", (not_ascii, _has(_MOJIBAKE)), _mended),
        Rule("control", (_has(_CONTROL),), lambda c: c.str.replace_all(_CONTROL, "")),
        Rule("html", (_has(html.MAY_BE_TAG),), html.to_text),
        Rule("entities", (_has(entities.MAY_BE_ENTITY),), entities.decoded),
        Rule("invisible", (not_ascii,), lambda c: c.str.replace_all(_INVISIBLE, "")),
        Rule("nfc", (not_ascii, _has(_COMPOSABLE)), lambda c: c.str.normalize("NFC")),
        Rule("white_space", (_has(r"\s\s|[^\S ]|^\s|\s$"),), _collapsed),
    )
    return [rule for rule in rules if getattr(clean, rule.name)]


def apply(rules: Sequence[Rule], cells: pl.Series, changes: Changes, first: int = 0) -> pl.Series:
    """The cells after the rules; `first` is the position of the first cell's row."""
    seen: dict[str, pl.Series] = {}
    where = cells.str.contains(_NOT_PLAIN).arg_true()  # the cells that this turn is about
    before, cleaned = cells.gather(where), cells
    for turn in range(_PASSES + 2):
        bare = before.str.replace_all("[<&]", " ") if turn == _PASSES else before
        after = _once(rules, bare, where, seen, changes, first)
        cleaned = _with(cleaned, where, after)
        again = ((after != before) & after.str.contains(_SUSPECT)).arg_true()
        where, before = where.gather(again), after.gather(again)
        if where.is_empty():
            break
    return cleaned


def _once(
    rules: Sequence[Rule], cells: pl.Series, where: pl.Series, seen: dict[str, pl.Series], changes: Changes, first: int
) -> pl.Series:
    """Each rule once; `where` is the index of these cells among all, `seen` those that a rule has changed already."""
    for rule in rules:
        touched = _touched(rule, cells)
        if touched.is_empty():
            continue
        before = cells.gather(touched)
        after = rule.change(before)
        differs = before != after
        changed = where.gather(touched.filter(differs))
        new = changed if rule.name not in seen else changed.filter(~changed.is_in(seen[rule.name].implode()))
        seen[rule.name] = changed if rule.name not in seen else seen[rule.name].append(new)
        shown = differs.arg_true().head(_EXAMPLES)
        pairs = zip(changed.head(_EXAMPLES), before.gather(shown), after.gather(shown), strict=True)
        changes.add(rule.name, len(new), [Example(first + i, cells.name, b, a) for i, b, a in pairs if i in new])
        cells = _with(cells, touched, after)
    return cells


def _touched(rule: Rule, cells: pl.Series) -> pl.Series:
    """The index of each cell that the rule may change."""
    first, *others = rule.may_change
    touched = first(cells).arg_true()
    for mask in others:
        touched = touched.filter(mask(cells.gather(touched)))
    return touched


def _with(cells: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    """The cells, with these values there."""
    return values.alias(cells.name) if len(where) == len(cells) else cells.clone().scatter(where, values)


def _has(pattern: str) -> Callable[[pl.Series], pl.Series]:
    return lambda cells: cells.str.contains(pattern)


def not_ascii(cells: pl.Series) -> pl.Series:
    return cells.str.len_bytes() != cells.str.len_chars()


def _mended(cells: pl.Series) -> pl.Series:
    """UTF-8 that was read as another encoding: ftfy mends what can't be meant, and leaves CAFÉ® alone."""
    from ftfy import TextFixerConfig, fix_encoding

    certain = TextFixerConfig(replace_lossy_sequences=False, unescape_html=False)
    distinct = cells.unique()
    return cells.replace(distinct, [fix_encoding(text, certain) for text in distinct])


def _collapsed(cells: pl.Series) -> pl.Series:
    return cells.str.replace_all(r"\s{2,}|[^\S ]", " ").str.strip_chars()
