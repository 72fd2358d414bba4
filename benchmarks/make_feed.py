#!/usr/bin/env python3
"""Make a feed as large as a big shop's, with what real feeds are full of: tags, entities, double spaces, placeholders.

usage: make_feed.py OUT.csv [--rows 1000000]      1,000,000 rows are 289 MB; the same bytes each time

Columns: id, title, description (HTML), brand, category, price, picture. One row in a hundred repeats an id, one in
five hundred has no id or no title; one in a thousand is mojibake. Texts are drawn a block at a time, so that memory
stays small at any number of rows.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator
from pathlib import Path

_NOUNS = "mug stool lamp kettle blanket jacket backpack bottle notebook candle mirror basket knife scarf clock"
_KINDS = "oak steel linen ceramic wool bamboo leather copper cotton glass walnut recycled enamel marble cork"
_COLORS = "red navy sand olive black white teal amber coral slate mint plum rust ivory"
NOUNS, KINDS, COLORS = _NOUNS.split(), _KINDS.split(), _COLORS.split()
PARTS = (
    "holds {n} ml and keeps warm for hours",
    "turned by hand from one piece of {kind}",
    "a {color} finish that lasts, wipe clean with a damp cloth",
    "packed flat, two screws, no tools needed for assembly",
    "measures {n} x {m} cm and weighs {m} g",
    "made in small batches by people who like what they do",
)
BRANDS = [f"{a}{b}" for a in ("Fern", "North", "Clay", "Hill", "Elm", "River") for b in ("works", " & Co", "hill", "é")]
CATEGORIES = [f"Home > {room} > {noun.title()}s" for room in ("Kitchen", "Living", "Garden") for noun in NOUNS]
SHIPPING = "Free shipping on orders over $50."


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    given = arguments.parse_args()
    with given.out.open("w", encoding="utf-8", newline="") as file:
        written = csv.writer(file)
        written.writerow(["id", "title", "description", "brand", "category", "price", "picture"])
        written.writerows(rows(given.rows, random.Random(0)))


def rows(count: int, chance: random.Random) -> Iterator[list[str]]:
    """`count` rows of the feed."""
    for i in range(count):
        kind, noun, color = chance.choice(KINDS), chance.choice(NOUNS), chance.choice(COLORS)
        own = i if i % 100 != 99 else chance.randrange(i)
        title = f"{color.title()} {kind} {noun} No. {own % 9973}"
        if i % 20 == 7:
            title = f"  {title}  &amp; lid"
        if i % 500 == 3:
            title = chance.choice(["", "N/A", "  "])
        brand = chance.choice(BRANDS)
        yield [
            "" if i % 1000 == 5 else f"SKU-{own:08}",
            title,
            description(i, chance, kind, color),
            "n/a" if i % 40 == 11 else mangled(brand) if i % 1000 == 17 else brand,
            chance.choice(CATEGORIES),
            f"{chance.randrange(100, 30000) / 100:.2f} EUR",
            f"images/{own % 1000:03}/SKU-{own:08}.jpg",
        ]


def description(i: int, chance: random.Random, kind: str, color: str) -> str:
    """Paragraph, list and, in half of them, the sentence that the whole shop ends with."""
    if i % 50 == 13:
        return chance.choice(["-", "<p>&nbsp;</p>", "TBD", ""])
    n, m = chance.randrange(5, 90) * 10, chance.randrange(4, 60)
    first, *rest = (p.format(n=n, m=m, kind=kind, color=color) for p in chance.sample(PARTS, chance.choice((2, 2, 3))))
    lines = "".join(f"<li>{line}</li>" for line in rest)
    space = "&nbsp;" if i % 3 == 0 else " "
    text = f"<p>{first.capitalize()}.{space}A <b>{color}</b> favourite.</p>\n<ul>{lines}</ul>"
    if i % 7 == 0:
        text = text.replace(" and ", " &amp;amp; ")
    if i % 1000 == 19:
        text = mangled(text.replace("favourite", "favourite – déjà vu"))
    return text + (f"<p>{SHIPPING}</p>" if i % 2 else "")


def mangled(text: str) -> str:
    """UTF-8 read as Windows-1252, as mended by the `mojibake` rule."""
    return text.encode("utf-8").decode("cp1252", "ignore")


if __name__ == "__main__":
    main()
