"""Cleaning of texts: one named polars expression a rule, applied in this order.

NFC and never NFKC, which turns 42½ into 421⁄2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

Rule = Callable[[pl.Expr], pl.Expr]

TEXT_RULES: Mapping[str, Rule] = {
    # All of category Cc but those that are white space: tab, line ends, vertical tab, form feed, next line.
    "control characters removed": lambda text: text.str.replace_all(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]", ""),
    "composed to Unicode NFC": lambda text: text.str.normalize("NFC"),
    "white space collapsed": lambda text: text.str.replace_all(r"\s+", " ").str.strip_chars(),
}
# Ids, groups and picture names must still equal what other files call them.
NAME_RULES: Mapping[str, Rule] = {"white space stripped": lambda text: text.str.strip_chars()}


def clean(
    frame: pl.DataFrame, columns: Sequence[str], rules: Mapping[str, Rule]
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Apply the rules to text columns; then an empty cell is missing. Also gives the cells each rule changed."""
    changed = {}
    for name, rule in rules.items():
        after = frame.with_columns(rule(pl.col(column)) for column in columns)
        changed[name] = sum(int((frame[c] != after[c]).sum()) for c in columns)
        frame = after
    return frame.with_columns(pl.col(column).replace("", None) for column in columns), changed
