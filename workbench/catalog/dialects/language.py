"""Names of languages as feeds write them: `en`, `en_US`, `en-us`, `us` (a country), and columns in several languages.

`lng:en_US:name`, `name:en`, `name__en`, `name_en` and `name[en-US]` are the column `name` in a language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# ISO 639-1, and the countries' codes that feeds write in place of a language.
_LANGUAGES = frozenset(
    re.findall(
        r"\w\w",
        "aa af am ar as az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja "
        "ka kk km kn ko ky lo lt lv mk ml mn mr ms mt my nb ne nl nn no or pa pl ps pt ro ru si sk sl so sq sr sv sw "
        "ta te tg th tk tl tr uk ur uz vi zh zu",
    )
)
_COUNTRIES = {
    **{"us": "en", "gb": "en", "au": "en", "ca": "en", "in": "en", "jp": "ja", "cn": "zh", "tw": "zh", "kr": "ko"},
    **{"at": "de", "be": "nl", "br": "pt", "mx": "es", "cz": "cs", "dk": "da", "gr": "el", "se": "sv", "ua": "uk"},
}
# Also ends of ordinary header words: `product_id`, `item_no`. They count beside a surer language only.
_UNSURE = frozenset(("id", "no", "is", "it", "my", "or", "so", "as", "be", "am", "pa", "ms", "si"))

_TAG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?", re.IGNORECASE)
_SURE = (
    re.compile(r"lng:(?P<tag>[^:]+):(?P<base>.+)", re.IGNORECASE),
    re.compile(r"(?P<base>.+?)(?:__|:|@)(?P<tag>[A-Za-z]{2}(?:[-_][A-Za-z]{2})?)"),
    re.compile(r"(?P<base>.+?)\s?[\[(](?P<tag>[a-z]{2}(?:[-_][A-Za-z]{2})?)[\])]"),
)
_LIKELY = re.compile(r"(?P<base>.+?)[_\-. ](?P<tag>[a-z]{2}(?:[-_][A-Za-z]{2})?)")


def language(tag: str) -> str | None:
    """The language of a tag, as ISO 639-1 where it has such a code: `en_US`, `us` -> `en`. None for what is no tag."""
    match = _TAG.fullmatch(tag.strip())
    if not match:
        return None
    code = match[1].lower()
    if code in _LANGUAGES:
        return code
    return _COUNTRIES.get(code) or (code if len(code) == 3 and match[3] else None)


def likeness(tag: str | None, asked: str | None) -> int:
    """2: the very locale asked for; 1: its language; 0: another, or nothing was asked."""
    if not tag or not asked or language(tag) is None or language(tag) != language(asked):
        return 0
    return 2 if tag.strip().replace("_", "-").lower() == asked.strip().replace("_", "-").lower() else 1


def language_in(word: str) -> str | None:
    """The language that a header word names: `name_en` -> `en`."""
    match = _tagged(word)
    return language(match["tag"]) if match else None


def _tagged(word: str) -> re.Match[str] | None:
    return next((m for pattern in _SURE if (m := pattern.fullmatch(word))), None) or _LIKELY.fullmatch(word)


def translations(header: Sequence[str], asked: str | None, known: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Column without its language -> the header words to read it from, the best for the asked language first.

    `known` are header words that only look like translations. Without an asked language the plain column comes first.
    """
    found: dict[str, dict[str, str]] = {}
    sure: set[str] = set()
    for word in header:
        if word in known:
            continue
        match = _tagged(word)
        if match and language(match["tag"]):
            found.setdefault(match["base"], {})[word] = match["tag"]
            if match.re is not _LIKELY:
                sure.add(match["base"])
    for base, words in list(found.items()):
        certain = [w for w, tag in words.items() if tag.lower() not in _UNSURE]
        if base not in sure and (not certain or len(words) + (base in header) < 2):
            del found[base]
    return {
        base: tuple(sorted([*([base] if base in header else []), *words], key=lambda w: -likeness(words.get(w), asked)))
        for base, words in found.items()
    }
