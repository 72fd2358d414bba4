"""Placeholders, recurring sentences, prices and languages."""

import polars as pl
import pytest

from workbench.catalog.clean.boilerplate import Boilerplate, learn, removed
from workbench.catalog.clean.language import language_of, told_languages
from workbench.catalog.clean.missing import Kind, found_missing
from workbench.catalog.clean.price import read_price, read_prices
from workbench.recipe.schema import Clean

PRICES = {
    **{"25.00 USD": (25, "USD"), "15,550.00 RUB": (15550, "RUB"), "12.5": (12.5, None), "9": (9, None)},
    **{"1.299,00 €": (1299, "EUR"), "19,90": (19.9, None), "US$ 9": (9, "USD"), "from 12.99": (12.99, None)},
    **{"1'299.00 CHF": (1299, "CHF"), "CHF 1’299.–": (1299, "CHF"), "₹1,29,999.00": (129999, "INR")},
    **{
        "1 299,00 kr": (1299, None),
        "1\u202f299,00\u00a0€": (1299, "EUR"),
        "Rs. 499": (499, "INR"),
        "12,- €": (12, "EUR"),
    },
    **{"1,299": (1299, None), "1.299": (1.299, None), "1.299 €": (1299, "EUR"), "0.999 EUR": (0.999, "EUR")},
    **{"2.500 KWD": (2.5, "KWD"), "1.299.000 ₫": (1299000, "VND"), "R$ 1.234,56": (1234.56, "BRL"), "A$5": (5, "AUD")},
    **{"12.99 - 15.99 EUR": (12.99, "EUR"), "9.99 12.99": (9.99, None), '["9.50","12.00"]': (9.5, None)},
    **{"9.99 EUR/kg": (9.99, "EUR"), "1e3": (1000, None), ".99": (0.99, None), "0": (0, None)},
    **{
        "Rs.499": (499, "INR"),
        "Rs.1,299/-": (1299, "INR"),
        "INR.5": (5, "INR"),
        "Fr.25.50": (25.5, "CHF"),
        "19€99": (19.99, "EUR"),
    },
    **{
        "incl. 19% VAT 20,00 €": (20, "EUR"),
        "1.299,00€*": (1299, "EUR"),
        "￥1200": (1200, "JPY"),
        "7.5%": (None, None),
    },
    **dict.fromkeys(("-5.00 EUR", "free", "", "12.34.56", "N/A", "."), (None, None)),
}


@pytest.mark.parametrize(("text", "expected"), PRICES.items())
def test_a_price(text: str, expected: tuple[float | None, str | None]) -> None:
    assert read_price(text) == expected


def test_prices_are_read_as_one_is() -> None:
    texts = [*PRICES, "7.5 XXX", None]
    prices, codes = read_prices(pl.Series(texts))
    assert list(zip(prices, codes, strict=True)) == [read_price(t) if t is not None else (None, None) for t in texts]


@pytest.mark.parametrize(
    ("kind", "missing", "kept"),
    [
        (
            "title",
            ["N/A", "-", "Default Title", "NA", "Untitled", "lorem ipsum dolor"],
            ["Naan", "A-", "None of us", "x"],
        ),
        (
            "text",
            ["n/a", "TBD", "no_selection", "__EMPTY__VALUE__", "No rating available", "None"],
            ["0", "no", "test"],
        ),
        ("label", ["--", "nan", "Uncategorized"], ["NA", "0", "Lorem ipsum"]),
        ("group", ["N/A", "NULL"], ["0", "7"]),
        ("code", ["Does not apply", "0", "—"], ["00"]),
    ],
)
def test_placeholders(kind: Kind, missing: list[str], kept: list[str]) -> None:
    cells = pl.Series([*missing, *kept, None])
    expected = [True] * len(missing) + [False] * (len(kept) + 1)
    assert found_missing(cells, kind, Clean()).to_list() == expected


def test_the_recipe_names_placeholders() -> None:
    clean = Clean(also_missing=("Kein Titel",), never_missing=("NONE",))
    assert found_missing(pl.Series(["kein titel", "None", "n/a"]), "label", clean).to_list() == [True, False, True]


def shop(texts: int, share: float, tail: str = "Free shipping on orders over $50.") -> list[str]:
    made = [f"A mug, number {i}, turned from one piece of oak by hand and oiled" for i in range(texts)]
    return [f"{text}.\n{tail}" if i < share * texts else f"{text}." for i, text in enumerate(made)]


def test_what_recurs_is_learnt_and_removed() -> None:
    texts = shop(60, 0.5)
    found = learn(pl.Series(texts))
    assert found == Boilerplate((), ("Free shipping on orders over $50.",))
    spoken = pl.Series([" ".join(t.split()) for t in texts])
    left = removed(spoken, found)
    assert left.to_list() == [f"A mug, number {i}, turned from one piece of oak by hand and oiled." for i in range(60)]
    assert removed(left, found).to_list() == left.to_list()
    alone = pl.Series(["Free shipping on orders over $50.", "See: Free shipping on orders over $50. Or not.", None])
    assert removed(alone, found).to_list() == alone.to_list()


def test_several_sentences_and_a_head() -> None:
    texts = [f"Welcome to our lovely shop! {t} Ships within two days." for t in shop(30, 1.0)]
    found = learn(pl.Series(texts))
    assert found.heads == ("Welcome to our lovely shop!",)
    assert found.tails == ("Ships within two days.", "Free shipping on orders over $50.")
    assert removed(pl.Series(texts[:1]), found).to_list() == [shop(1, 0)[0]]


@pytest.mark.parametrize(
    "texts",
    [
        shop(60, 0.2),  # too few
        shop(9, 1.0),  # too small a catalog
        shop(1, 1.0) * 60,  # variants of one text
        [f"Mug {i}. Free shipping on orders over $50." for i in range(60)],  # names, not texts: short on average
        shop(60, 0.9, "Oak."),  # too short
    ],
)
def test_what_is_not_boilerplate(texts: list[str]) -> None:
    assert not learn(pl.Series(texts))


def test_languages() -> None:
    told = told_languages(pl.Series(["en_US", "EN", "us", "English", "jp", "pt-BR", "Deutsch", "??", None]))
    assert told.to_list() == ["en", "en", "en", "en", "ja", "pt", "de", None, None]
    texts = ["An oak mug, turned by hand and oiled", "Eine Tasse aus Eiche, von Hand gedreht", "USB-C", None]
    assert language_of(pl.Series(texts), ["en"]).to_list() == ["en", "de", None, None]


def test_a_title_of_names_is_in_the_wanted_language() -> None:
    english = ["Compact bright cable Acme 263", "Deluxe cotton robot Acme 575", "Vintage steel pan Elm 120"]
    other = ["Edelstahl Topf mit Deckel 20 cm", "Casserole inox avec couvercle 20 cm"]
    assert language_of(pl.Series(english + other), ["en"]).to_list() == ["en", "en", "en", "de", "fr"]
    assert language_of(pl.Series(other), ["fr", "de"]).to_list() == ["de", "fr"]
