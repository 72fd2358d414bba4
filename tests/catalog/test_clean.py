"""Cleaning rules, one at a time."""

import polars as pl

from workbench.catalog.clean import NAME_RULES, TEXT_RULES, clean


def test_text_rules_and_the_cells_each_changed() -> None:
    texts = ["plain", "a\x00b\x1f", "e\u0301", " a\u00a0 \r\n\tb ", "42½ ﬁ", "  ", "", None, "👩\u200d💼", "a\x85b"]
    frame, changed = clean(pl.DataFrame({"t": texts}), ["t"], TEXT_RULES)
    assert frame["t"].to_list() == ["plain", "ab", "é", "a b", "42½ ﬁ", None, None, None, "👩\u200d💼", "a b"]
    assert changed == {"control characters removed": 1, "composed to Unicode NFC": 1, "white space collapsed": 3}


def test_names_are_only_stripped() -> None:
    frame, changed = clean(pl.DataFrame({"p": [" cafe\u0301  1.png\n", "b.png"]}), ["p"], NAME_RULES)
    assert frame["p"].to_list() == ["cafe\u0301  1.png", "b.png"] and changed == {"white space stripped": 1}
