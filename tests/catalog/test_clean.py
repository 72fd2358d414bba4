"""Cleaning rules, one at a time and all together."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.catalog.clean.rules import Found, apply, text_rules
from workbench.recipe.schema import Clean

OFF = dict.fromkeys(("mojibake", "control", "html", "entities", "invisible", "nfc", "white_space"), False)


def cleaned(texts: list[str | None], found: Found | None = None, **switches: bool) -> list[str | None]:
    return apply(
        text_rules(Clean(**switches)), pl.Series("t", texts, pl.String), {} if found is None else found
    ).to_list()


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("mojibake", "CafÃ© â€™s d\x92or", "Café ’s d’or"),
        ("mojibake", "CAFÉ® SÃO «É» Ã", "CAFÉ® SÃO «É» Ã"),  # decodes, and yet can be meant
        ("control", "a\x00b\x1f\tc", "ab\tc"),
        ("html", "<b>A</b> <3 mug", "A <3 mug"),
        ("entities", "caf&eacute; &#233;&#xE9; &amp;amp;", "café éé &"),
        ("invisible", "ab\u00adc\u200b\ufeff 👩\u200d💼", "abc 👩\u200d💼"),
        ("nfc", "e\u0301 42½ ﬁ", "é 42½ ﬁ"),  # NFKC would give 421⁄2
        ("white_space", " a\u00a0 \r\n\tb\u2028c ", "a b c"),
    ],
)
def test_a_rule_alone(rule: str, before: str, after: str) -> None:
    found: Found = {}
    assert cleaned([before, "plain", None, ""], found, **OFF | {rule: True}) == [after, "plain", None, ""]
    assert cleaned([before], **OFF) == [before]
    changed = (
        {rule: [(0, before, after)]}
        if before != after and rule != "entities"
        else {name: [(0, before, "café éé &amp;")] for name in found}
    )
    assert {name: change.first for name, change in found.items()} == changed


def test_order_and_depth() -> None:
    texts = {
        "&lt;b&gt;bold&lt;/b&gt; &lt;3": "bold <3",
        "&amp;amp;amp;lt;p&amp;amp;amp;gt;deep": "deep",
        "<\u200bb>hidden</b>": "hidden",
        "&" + "amp;" * 500 + "lt;": "amp;" * 492 + "lt;",  # more than eight deep is no text
        "Ã\u0083Â©": "é",
        "<p>A &amp; B<br>C</p>": "A & B C",
        "x &lt; y &amp;copy; z": "x < y © z",
    }
    assert cleaned(list(texts)) == list(texts.values())


def test_cells_are_counted_once_and_shown_as_they_were() -> None:
    found: Found = {}
    cleaned(["<b>a</b>", "plain", "&lt;i&gt;b", "<u>&lt;u&gt;c</u>", *["<i>x</i>"] * 9], found)
    assert found["html"].index.sort().to_list() == [0, 2, 3, *range(4, 13)]
    assert found["html"].first[:4] == [
        (0, "<b>a</b>", "a"),
        (2, "<i>b", "b"),
        (3, "<u>&lt;u&gt;c</u>", "&lt;u&gt;c"),
        (4, "<i>x</i>", "x"),
    ]
    assert len(found["html"].first) == 5


PIECES = [
    *(
        "<b>",
        "</b>",
        "<p class='x'>",
        "<br/>",
        "<li>",
        "</ul>",
        "<td>",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<a href='",
    ),
    *(
        "&amp;",
        "&lt;",
        "&gt;",
        "&nbsp;",
        "&#233;",
        "&#x3c;",
        "&lt",
        "&copy=",
        "amp;",
        "lt;",
        "gt;",
        "b>",
        "<",
        ">",
        "&",
        ";",
        "#60",
    ),
    *(
        "Ã",
        "©",
        "â€™",
        "\u0083",
        "Â",
        "\u00a0",
        "é",
        "e\u0301",
        "\u0301",
        "\u200b",
        "\ufeff",
        "\x00",
        "\x1e",
        " ",
        "\n",
        "word",
        ".",
    ),
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join), min_size=1, max_size=8)
)
def test_clean_text_is_clean(texts: list[str]) -> None:
    once = cleaned(list(texts))
    assert cleaned(once) == once
    assert cleaned(texts[-1:]) == once[-1:]  # whatever stands beside it
