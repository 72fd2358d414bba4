"""Prices as shops write them: `25.00 USD`, `1.299,00 €`, `US$ 9`, `from 12.99`, `1'299.–`."""

from __future__ import annotations

import re
from string import ascii_uppercase

import polars as pl

# What stands beside the number -> ISO 4217. `kr` is three currencies and stays without one.
CURRENCIES = {
    **{"€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "£": "GBP", "$": "USD", "us$": "USD", "usd$": "USD"},
    **{"ca$": "CAD", "c$": "CAD", "cad$": "CAD", "a$": "AUD", "au$": "AUD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD"},
    **{
        "mx$": "MXN",
        "nt$": "TWD",
        "r$": "BRL",
        "¥": "JPY",
        "￥": "JPY",
        "円": "JPY",
        "cn¥": "CNY",
        "元": "CNY",
        "rmb": "CNY",
    },
    **{"₹": "INR", "rs": "INR", "rs.": "INR", "₩": "KRW", "원": "KRW", "₽": "RUB", "руб": "RUB", "руб.": "RUB"},
    **{
        "р.": "RUB",
        "₺": "TRY",
        "tl": "TRY",
        "zł": "PLN",
        "kč": "CZK",
        "ft": "HUF",
        "lei": "RON",
        "лв": "BGN",
        "лв.": "BGN",
    },
    **{"₴": "UAH", "грн": "UAH", "₫": "VND", "฿": "THB", "₪": "ILS", "rp": "IDR", "rm": "MYR", "₱": "PHP", "₦": "NGN"},
    **{"fr.": "CHF", "sfr.": "CHF", "r": "ZAR", "dkr": "DKK", "nkr": "NOK", "skr": "SEK", "₸": "KZT", "₾": "GEL"},
}
_CODES = (
    "AED ARS AUD BDT BGN BHD BRL BYN CAD CHF CLP CNY COP CZK DKK EGP EUR GBP GEL HKD HUF IDR ILS INR IQD ISK JOD JPY "
    "KES KRW KWD KZT LKR LYD MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RON RSD RUB SAR SEK SGD THB TND TRY TWD "
    "UAH USD UYU UZS VND ZAR"
)
ISO = frozenset(_CODES.split())
_THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_PLAIN = r"^\d{1,12}(\.\d+)?( [A-Z]{3})?$"
# `Rs.499`: a point after a letter ends a word. A number before a percent sign is a tax or a discount.
_NUMBER = re.compile(
    r"(?:(?<![\d.,])|(?<=[^\W\d]\.))(?!(?<=[^\W\d])\.)"
    r"-?(?:\d{1,3}(?:[\s'’]\d{3})+(?!\d)|\d+)?(?:[.,]\d+)*(?<=\d)(?![.,]?\d|\s*%)"
)
_SIGN_AS_POINT = re.compile(r"\s*(\d+)([€£$])(\d\d)\s*")  # 19€99
_WRITTEN_BY_PROGRAM = re.compile(r"\s*\d+(\.\d+)?[eE][+-]?\d\d?\s*")
_BESIDE = re.compile(r"[^\d\s,;:()\[\]\"/*–-]+")


def read_prices(cells: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(price as Float64, ISO code of its currency) of each cell; null where there is none, or a negative one."""
    plain = cells.str.contains(_PLAIN).fill_null(False)
    price = cells.str.strip_chars_end(f" {ascii_uppercase}").cast(pl.Float64, strict=False).set(~plain, None)
    code = cells.str.slice(-3, 3)
    code = code.set(~(plain & code.is_in(sorted(ISO))), None)
    odd = (~plain & cells.is_not_null()).arg_true()
    if len(odd):
        distinct = cells.gather(odd).unique()
        read = pl.DataFrame(
            [read_price(text) for text in distinct], {"price": pl.Float64, "code": pl.String}, orient="row"
        )
        at = cells.gather(odd).replace_strict(distinct, pl.int_range(len(distinct), eager=True))
        price, code = price.scatter(odd, read["price"].gather(at)), code.scatter(odd, read["code"].gather(at))
    return price.alias("price"), code.alias("currency")


def read_price(text: str) -> tuple[float | None, str | None]:
    """The first price in a text, and its currency; the slow twin of `read_prices`."""
    if _WRITTEN_BY_PROGRAM.fullmatch(text):  # 1e3
        return float(text), None
    if parts := _SIGN_AS_POINT.fullmatch(text):
        text = f"{parts[1]}.{parts[3]} {parts[2]}"
    found = _NUMBER.search(text)
    currency = _currency(text, found) if found else None
    if not found or found[0].startswith("-"):
        return None, None
    number = _decimal(re.sub(r"['’\s]", "", found[0]), currency)
    return (number, currency) if number is not None else (None, None)


def _currency(text: str, number: re.Match[str]) -> str | None:
    """The currency named nearest to the number: right before it, then right after it, then anywhere."""
    before, after = text[: number.start()], text[number.end() :]
    words: list[str] = [*_BESIDE.findall(before)[::-1], *_BESIDE.findall(after)]
    for word in words:
        if (code := word.rstrip(".").upper()) in ISO:
            return code
        if named := CURRENCIES.get(word.casefold()):
            return named
    return None


def _decimal(number: str, currency: str | None) -> float | None:
    """`1.299,00`, `1,299.00`, `1.299.000`, `19,90`, `1,299`. Of two kinds of signs the last begins the decimals.

    One sign before three digits parts thousands, as it would be odd for a price to have three decimals: but not after
    a lone 0, in currencies that have three, or where a point stands in a bare number, as programs write them.
    """
    signs = [sign for sign in number if sign in ".,"]
    last = signs[-1] if signs else ""
    whole, _, rest = number.rpartition(last) if last else (number, "", "")
    if len(set(signs)) == 1:
        thousands = len(rest) == 3 and whole.strip("0") != "" and currency not in _THREE_DECIMALS
        if len(signs) > 1 and len(rest) != 3:
            return None
        if len(signs) > 1 or (thousands and (last == "," or currency)):
            whole, rest = number, ""
    digits = re.sub(r"[.,]", "", whole)
    return float(f"{digits or 0}.{rest or 0}")
