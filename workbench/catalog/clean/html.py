"""HTML to text: what a reader would see, its blocks, list items and table cells kept apart.

Only tags that HTML knows are tags: `<3`, `a < b` and `<USB-C>` are text. Plain tags, nearly all there are, are replaced
by one search for many words; in the cells that hold others after that, attributes, comments, scripts and what Word
leaves behind are taken away by regular expressions.
"""

from __future__ import annotations

import polars as pl

INLINE = (
    *("a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small span").split(),
    *("strike strong sub sup time tt u var wbr").split(),
)
BLOCKS = (
    *("address article aside audio base basefont blockquote body br button canvas caption center col colgroup").split(),
    *("details dialog dir div embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head").split(),
    *("header hgroup hr html iframe img input legend link main map area menu meta nav noframes noscript object").split(),
    *("optgroup p param picture pre progress section select source summary svg tbody textarea tfoot thead title").split(),
    *("track video ul ol dl table").split(),
)
ITEMS = ("li", "tr", "dt", "option")
CELLS = ("td", "th", "dd")
ITEM, CELL = "\x1e", "\x1f"  # control characters, which the rule before this one has removed from the text

_TAGS = {
    **{f"<{slash}{name}>": "" for name in INLINE for slash in ("", "/")},
    **{f"<{slash}{name}>": "\n" for name in (*BLOCKS, *ITEMS, *CELLS) for slash in ("", "/")},
    **{f"<{name}>": ITEM for name in ITEMS},
    **{f"</{name}>": ITEM for name in ("ul", "ol", "dl", "table")},
    **{f"<{name}>": CELL for name in CELLS},
}
_MARKS = {f"{stop}{mark}": f"{stop} " for stop in ".!?:;,…" for mark in (ITEM, CELL)} | {ITEM: "; ", CELL: ", "}
_NAMES = sorted((*INLINE, *BLOCKS, *ITEMS, *CELLS), key=len, reverse=True)
_LONG = "|".join(name for name in _NAMES if len(name) > 1)
_SHORT = "|".join(name for name in _NAMES if len(name) == 1)  # `a<b and c>d`: a tag only with an attribute's `=`
_UNREAD = "|".join(rf"<{name}\b[^>]*>.*?(?:</{name}\s*>|\z)" for name in ("script", "style", "template"))
_GONE = rf"(?is)<!--.*?(?:-->|\z)|{_UNREAD}|<!\[CDATA\[|\]\]>|<!\[[^>]*>|<!doctype\b[^>]*>|<\?[a-z][^>]*>|</?(?:o|v|w|m|st1):\w+[^>]*>"
_VALUE = r"""(?:[^'">]|"[^"]*"|'[^']*')*"""
_WITH_MORE = (
    rf"(?i)<(/?(?:{_LONG}))(?:\s{_VALUE}|\s[^>]*|/)>|<(/?(?:{_SHORT}))(?:\s+[\w:-]+\s*={_VALUE}|\s+[\w:-]+\s*=[^>]*|\s*/?)>"
)
_CUT = rf"(?i)<(?:/[a-z0-9]*|(?:{_LONG}|{_SHORT})\s+[\w:-]+\s*=[^<>]*)\z"  # the text was cut within a tag

MAY_BE_TAG = r"<[a-zA-Z/!?]"


def to_text(cells: pl.Series) -> pl.Series:
    """The cells without tags: a block's end is a line's, list items and rows stand after "; ", table cells after ", "."""
    cells = _replaced(cells)
    rest = cells.str.contains(MAY_BE_TAG).arg_true()
    if len(rest):
        bare = cells.gather(rest).str.replace_all(_GONE, "").str.replace_all(_WITH_MORE, "<$1$2>").str.replace(_CUT, "")
        cells = cells.scatter(rest, _replaced(bare))
    return _separated(cells) if cells.str.contains(f"[{ITEM}{CELL}]").any() else cells


def _replaced(cells: pl.Series) -> pl.Series:
    return cells.str.replace_many(list(_TAGS), list(_TAGS.values()), ascii_case_insensitive=True)


def _separated(cells: pl.Series) -> pl.Series:
    """Marks of items and cells as punctuation; as a space where the text before has its own, as nothing at the ends."""
    return (
        cells.str.strip_chars(f" \t\r\n{ITEM}{CELL}")
        .str.replace_all(rf"[\s{CELL}]*{ITEM}[\s{ITEM}{CELL}]*", ITEM)
        .str.replace_all(rf"\s*{CELL}[\s{CELL}]*", CELL)
        .str.replace_many(list(_MARKS), list(_MARKS.values()), leftmost=True)
    )
