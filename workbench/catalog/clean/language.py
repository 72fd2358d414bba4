"""The language of a listing: as its feed says it, or as its words do."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from workbench.catalog.dialects.language import language

_NAMES = {
    **{"english": "en", "anglais": "en", "englisch": "en", "german": "de", "deutsch": "de", "allemand": "de"},
    **{"french": "fr", "français": "fr", "francais": "fr", "französisch": "fr", "spanish": "es", "español": "es"},
    **{"italian": "it", "italiano": "it", "dutch": "nl", "nederlands": "nl", "portuguese": "pt", "português": "pt"},
    **{"polish": "pl", "polski": "pl", "czech": "cs", "čeština": "cs", "danish": "da", "dansk": "da", "swedish": "sv"},
    **{"svenska": "sv", "norwegian": "no", "norsk": "no", "finnish": "fi", "suomi": "fi", "japanese": "ja"},
    **{"日本語": "ja", "chinese": "zh", "中文": "zh", "korean": "ko", "한국어": "ko", "russian": "ru", "русский": "ru"},
    **{
        "turkish": "tr",
        "türkçe": "tr",
        "arabic": "ar",
        "العربية": "ar",
        "greek": "el",
        "ελληνικά": "el",
        "hebrew": "he",
    },
    **{
        "hindi": "hi",
        "indonesian": "id",
        "bahasa indonesia": "id",
        "ukrainian": "uk",
        "українська": "uk",
        "hungarian": "hu",
    },
}
_LEAST = 12  # letters, below which words tell no language
_CLEARLY = 12.0  # nats: 1 of 100 English titles seems to be in another language by more, German and French ones all do


def told_languages(cells: pl.Series) -> pl.Series:
    """ISO codes of a feed's own column: `en_US`, `EN`, `us`, `English` are all en. Null where it names none."""
    distinct = cells.drop_nulls().unique()
    codes = [_NAMES.get(cell.strip().casefold()) or language(cell) for cell in distinct]
    return cells.replace_strict(distinct, codes, default=None, return_dtype=pl.String)


def language_of(texts: pl.Series, wanted: Sequence[str] = ()) -> pl.Series:
    """The language that each text seems to be in, as ISO 639-1; null for one too short to tell.

    Names and model numbers look like any language: a text counts as in a wanted one unless another is far likelier.
    """
    from py3langid.langid import rank  # reads its model: a second

    distinct = texts.drop_nulls().unique()
    distinct = distinct.filter(distinct.str.count_matches(r"\p{L}") >= _LEAST)
    codes = [_likeliest(rank(text), wanted) for text in distinct]
    return texts.replace_strict(distinct, codes, default=None, return_dtype=pl.String)


def _likeliest(ranked: Sequence[tuple[str, float]], wanted: Sequence[str]) -> str:
    """Of languages with their log likelihoods, the likeliest first."""
    first, most = ranked[0]
    return next((code for code, log in ranked if code in wanted and most - log < _CLEARLY), first)
