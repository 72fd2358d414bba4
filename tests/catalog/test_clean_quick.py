"""The quick ways of cleaning against the plain ones: masks by groups of characters, values that recur cleaned once."""

from __future__ import annotations

import random
import sys
import unicodedata

import polars as pl
import pytest

from workbench.catalog import listings
from workbench.catalog.clean.boilerplate import Boilerplate
from workbench.catalog.clean.rules import Changes, text_rules
from workbench.recipe.schema import Clean

CHARS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
RULES = {rule.name: rule for rule in text_rules(Clean())}


def touched(rule: str) -> set[str]:
    """The characters for which the rule's mask holds, amid letters."""
    (mask,) = RULES[rule].may_change
    cells = pl.DataFrame({"cell": ["a" + char + "b" for char in CHARS], "char": CHARS})
    return set(cells.filter(mask)["char"])


def test_every_control_character_is_seen() -> None:
    space = set("\t\n\v\f\r\x85")
    assert touched("control") == {char for char in CHARS if unicodedata.category(char) == "Cc"} - space


def test_every_white_space_but_a_space_is_seen() -> None:
    assert touched("white_space") == {char for char in CHARS if char.isspace()} - {" ", *"\x1c\x1d\x1e\x1f"}
    (mask,) = RULES["white_space"].may_change
    cells = pl.DataFrame({"cell": ["a b", "a  b", " a", "a ", "", None]})
    assert cells.select(mask).to_series().to_list() == [False, True, True, True, False, None]


def test_every_invisible_character_is_seen() -> None:
    ranges = [(0xAD, 0xAD), (0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0x2066, 0x2069)]
    assert touched("invisible") == {chr(c) for low, high in ranges for c in range(low, high + 1)} | {"\ufeff"}


@pytest.mark.parametrize("name", ["text.brand", "label.kind"])
def test_values_that_recur_are_cleaned_as_if_each_were_the_only_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    values = ["Fern &amp; Co", "<b>Oak</b>", "n/a", " x ", "", None, "Elm", "<p>&amp;nbsp;</p>", "CafÃ©", "plain"]
    chance = random.Random(0)
    cells = pl.Series(name, [chance.choice(values) for _ in range(3000)])
    ids = pl.Series([f"id {i}" for i in range(3000)])

    def cleaned() -> tuple[pl.Series, Changes]:
        changes = Changes()
        return listings._text(cells, Boilerplate(), Clean(), changes, 7, ids), changes

    assert listings._recurs(cells)
    once, found = cleaned()
    monkeypatch.setattr(listings, "_GLANCE", 0)
    assert not listings._recurs(cells)
    each, plainly = cleaned()
    assert once.equals(each, null_equal=True) and once.name == each.name
    assert found == plainly and set(found.cells) >= {"html", "entities", "mojibake", "placeholders", "white_space"}
