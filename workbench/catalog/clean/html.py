"""HTML to text: what a reader would see, its blocks, list items and table cells kept apart.

Tags are those that HTML knows, and others that end something or have a quoted attribute: `<3`, `a < b` and `<USB-C>`
are text. Plain tags, nearly all there are, are replaced by a search for many words; in the cells that hold others after
that, attributes, comments, scripts and what Word leaves behind are taken away by regular expressions.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

INLINE = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small span strike "
    "strong sub sup time tt u var wbr"
)
BLOCKS = (
    "address area article aside audio base basefont blockquote body br button canvas caption center col colgroup "
    "details dialog dir div dl embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head "
    "header hgroup hr html iframe img input legend link main map menu meta nav noframes noscript object ol optgroup p "
    "param picture pre progress section select source summary table tbody textarea tfoot thead title track ul video"
)
LISTS, ITEMS, CELLS = "dl ol table ul", "dt li option tr", "dd td th"
END, ITEM, CELL = "\x1d", "\x1e", "\x1f"  # control characters, which the rule before this one has removed

_TAGS = {
    **{f"<{slash}{name}>": "" for name in INLINE.split() for slash in ("", "/")},
    **{f"<{slash}{name}>": "\n" for name in f"{BLOCKS} {ITEMS} {CELLS}".split() for slash in ("", "/")},
    **{f"<{name}>": ITEM for name in ITEMS.split()},
    **{f"</{name}>": END for name in LISTS.split()},
    **{f"<{name}>": CELL for name in CELLS.split()},
}
# Nearly all that there are: up to 100 words are searched for at once faster than more are.
_USUAL_NAMES = (
    "a b br div em font h1 h2 h3 h4 h5 h6 hr i img li ol p small span strong sub sup table tbody td th tr u ul"
)
_USUAL = {tag: sign for tag, sign in _TAGS.items() if tag.strip("</>") in _USUAL_NAMES.split()}
_MARKS = {
    **{f"{stop}{mark}": f"{stop} " for stop in ".!?:;,…" for mark in (END, ITEM, CELL)},
    **{END: ". ", ITEM: "; ", CELL: ", "},
}
_NAMES = sorted(f"{INLINE} {BLOCKS} {ITEMS} {CELLS}".split(), key=len, reverse=True)
_LONG = "|".join(name for name in _NAMES if len(name) > 1)
_SHORT = "|".join(name for name in _NAMES if len(name) == 1)  # `a<b and c>d`: a tag only with an attribute's `=`
_UNREAD = "|".join(rf"<{name}\b[^>]*>.*?(?:</{name}\s*>|\z)" for name in ("script", "style", "svg", "template"))
_GONE = (
    rf"(?is)<!--.*?(?:-->|\z)|{_UNREAD}|<!\[CDATA\[|\]\]>|<!\[[^>]*>|<!doctype\b[^>]*>|<\?[a-z][^>]*>|"
    r"</?(?:o|v|w|m|st1):\w+[^>]*>"
)
_UNKNOWN = r"""(?i)</[a-z][\w:-]*>|<[a-z][\w:-]*(?:\s+[\w:-]+\s*=\s*(?:"[^"]*"|'[^']*'))+\s*/?>"""
_VALUE = r"""(?:[^'">]|"[^"]*"|'[^']*')*"""
_NAMED = r"(?:[\w:-]+\s+)*[\w:-]+\s*="
_WITH_MORE = (
    rf"(?i)<(/?(?:{_LONG}))(?:\s{_VALUE}|\s[^>]*|/)>|"
    rf"<(/?(?:{_SHORT}))(?:\s+{_NAMED}{_VALUE}|\s+{_NAMED}[^>]*|\s*/?)>"
)
# The text was cut within a tag. Where plain tags were after it, it isn't at the end, and its `>` alone was forgotten.
_CUT = rf"(?i)<(?:/[a-z0-9]*|(?:{_LONG}|{_SHORT})\s+{_NAMED}[^<>\n{END}{ITEM}{CELL}]*)\z"

MAY_BE_TAG = r"<[a-zA-Z/!?]"


def to_text(cells: pl.Series) -> pl.Series:
    """The cells without tags: blocks end a line, items and rows follow "; ", table cells ", ", and lists end in "."."""
    cells = _replaced(cells, _USUAL)
    rest = cells.str.contains(MAY_BE_TAG).arg_true()
    if len(rest):
        bare = _replaced(cells[rest], _TAGS).str.replace_all(_GONE, "").str.replace_all(_WITH_MORE, "<$1$2>")
        cells = cells.scatter(rest, _replaced(bare.str.replace(_CUT, ""), _TAGS).str.replace_all(_UNKNOWN, ""))
    return _separated(cells) if cells.str.contains(f"[{END}{ITEM}{CELL}]").any() else cells


def _replaced(cells: pl.Series, tags: Mapping[str, str]) -> pl.Series:
    return cells.str.replace_many(list(tags), list(tags.values()), ascii_case_insensitive=True)


def _separated(cells: pl.Series) -> pl.Series:
    """Marks of items and cells as punctuation; as a space where the text before has its own, as nothing at the ends."""
    return (
        cells.str.strip_chars(f" \t\r\n{END}{ITEM}{CELL}")
        .str.replace_all(rf"[\s{ITEM}{CELL}]*{END}[\s{END}{ITEM}{CELL}]*", END)
        .str.replace_all(rf"[\s{CELL}]*{ITEM}[\s{ITEM}{CELL}]*", ITEM)
        .str.replace_all(rf"\s*{CELL}[\s{CELL}]*", CELL)
        .str.replace_many(list(_MARKS), list(_MARKS.values()), leftmost=True)
    )
