"""The currency that a feed names beside its prices: in the price's header word, or in a column of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from workbench.catalog.clean.price import CURRENCIES, ISO
from workbench.catalog.dialects.words import matching

_COLUMNS = ("currency", "price currency", "currency code", "currency id", "* (channel *currency code)")
_COLUMNS_ABROAD = ("devise", "währung", "moneda", "valuta", "moeda", "waluta", "通貨", "валюта")
_WORD = re.compile(r"[A-Z]{3}(?![A-Za-z])|(?<![A-Za-z])[a-z]{3}(?![A-Za-z])|[€£₹₽₩]")
_BARE = r"^\s*\d[\d.,\s'’]*$"  # a price without a currency


def currency_of(price: str | None, header: Sequence[str]) -> str:
    """The column of currencies, else the ISO code in the price's header word; "" where there is neither.

    `Variant Price EUR`, `price_usd`, `msrpUSD`, `Preis (€)`.
    """
    if price is None:
        return ""
    columns = [word for word in matching([*_COLUMNS, *_COLUMNS_ABROAD], header) if word != price]
    codes = [CURRENCIES.get(word, word.upper()) for word in _WORD.findall(price.replace("_", " "))]
    return next((code for code in codes if code in ISO), columns[0] if columns else "")


def with_currency(cells: pl.DataFrame, price: str | None, currency: str) -> pl.DataFrame:
    """The cells, the currency after each bare price."""
    if not currency or price not in cells.columns:
        return cells
    code = pl.col(currency) if currency in cells.columns else pl.lit(currency)
    both = pl.concat_str(pl.col(price), pl.lit(" "), code)
    return cells.with_columns(
        pl.when(pl.col(price).str.contains(_BARE) & (code != "")).then(both).otherwise(price).alias(price)
    )
