"""What to fix first in the feed: each problem with the listings that have it, worst first.

A problem weighs what it costs (a lost row 10, a missing picture 5, a bare attribute 1) times the listings it touches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from workbench.images.fetched import WAITS

MOST = 20  # problems told; the feed's owner comes back for more
SMALLEST_SIDE = 100  # pixels: a smaller picture shows little
FEWEST_OF_CLASS = 5  # listings: a class with fewer can't be learnt
WHERE = ("id", "feed", "file", "line", "title")


@dataclass(frozen=True)
class Problem:
    """A problem and the rows that have it: (id, feed, file, line, title, found)."""

    name: str
    advice: str
    weight: float
    rows: pl.DataFrame

    @property
    def cost(self) -> float:
        return self.weight * self.rows.height


@dataclass(frozen=True)
class _Check:
    """Where `has` is true of a listing it has the problem; `found` is what to show of it."""

    name: str
    advice: str
    weight: float
    has: pl.Expr
    found: pl.Expr


def worst(listings: pl.DataFrame, drops: pl.DataFrame) -> list[Problem]:
    """The problems of a catalog, worst first, at most MOST.

    `listings` has a line each: WHERE, text.*, label.*, price, code, language, state and reason of the main picture, its
    width and height, duplicate_of (null where it is none). `drops` has WHERE, reason and detail.
    """
    checks = [*_pictures(), *_texts(listings), *_labels(listings), *_facts(listings)]
    problems = [
        Problem(
            c.name, c.advice, c.weight, listings.filter(c.has).select(*WHERE, c.found.cast(pl.String).alias("found"))
        )
        for c in checks
    ]
    problems += _dropped(drops)
    return sorted((p for p in problems if p.rows.height), key=lambda p: (-p.cost, p.name))[:MOST]


def table(problems: Sequence[Problem], feeds: Sequence[str]) -> pl.DataFrame:
    """All rows of the problems, for the feed's owner: rank, problem, WHERE, found, advice; `feeds` names the feeds."""
    columns = ("rank", "problem", *WHERE, "found", "advice")
    lines = [
        problem.rows.select(
            pl.lit(rank).cast(pl.String).alias("rank"),
            pl.lit(problem.name).alias("problem"),
            *WHERE,
            "found",
            pl.lit(problem.advice).alias("advice"),
        )
        for rank, problem in enumerate(problems, 1)
    ]
    names = pl.col("feed").cast(pl.Int64).replace_strict(dict(enumerate(feeds)), return_dtype=pl.String)
    nothing = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return pl.concat(lines).with_columns(names) if lines else nothing


def _pictures() -> Iterator[_Check]:
    state, reason = pl.col("state"), pl.col("reason")
    lost = (state == "absent") & reason.ne_missing(WAITS)  # what nobody asked to download may be sound
    yield _Check("no picture", "add the picture, or correct its name", 5, lost, reason)
    yield _Check("broken picture", "send the picture again", 5, state == "broken", reason)
    yield _Check(
        "placeholder instead of a picture", "send the product's own picture", 5, state == "placeholder", reason
    )
    side = pl.min_horizontal("width", "height")
    size = pl.format("{} x {} pixels", "width", "height")
    yield _Check("tiny picture", f"send one of at least {SMALLEST_SIDE} pixels a side", 2, side < SMALLEST_SIDE, size)
    found = pl.format("the same as {}", "duplicate_of")
    yield _Check("listed twice", "leave one of them out", 3, pl.col("duplicate_of").is_not_null(), found)


def _texts(listings: pl.DataFrame) -> Iterator[_Check]:
    title = pl.col("title")
    words = title.str.split(" ").list.len()
    yield _Check("no title", "write a title", 5, title.is_null(), pl.lit("empty"))
    yield _Check("title of one word", "say what it is: kind, brand, colour, size", 2, words == 1, title)
    shouted = (title.str.count_matches(r"\p{Lu}") > 5) & ~title.str.contains(r"\p{Ll}") & (words > 1)
    yield _Check("title in capitals", "write it in small letters", 0.5, shouted, title)
    for name in (c for c in listings.columns if c.startswith("text.")):
        share = listings[name].null_count() / max(1, listings.height)
        if share < 0.9:  # else it is an attribute that few products have
            yield _Check(f"no {name[5:]}", f"fill in {name[5:]}", 1, pl.col(name).is_null(), pl.lit("empty"))


def _labels(listings: pl.DataFrame) -> Iterator[_Check]:
    for name in (c for c in listings.columns if c.startswith("label.")):
        label, kind = pl.col(name), name[6:]
        yield _Check(f"no {kind}", f"fill in {kind}", 2, label.is_null(), pl.lit("empty"))
        alike = label.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]", "")
        spelt = label.n_unique().over(alike) > 1
        advice = f"spell each {kind} one way"
        yield _Check(f"{kind} spelt in several ways", advice, 1, label.is_not_null() & spelt, label)
        rare = label.is_not_null() & (pl.len().over(name) < FEWEST_OF_CLASS)
        if listings[name].n_unique() < listings.height / 2:  # else it is no class at all
            yield _Check(f"{kind} with few listings", f"move them to a larger {kind}", 0.5, rare, label)


def _facts(listings: pl.DataFrame) -> Iterator[_Check]:
    if listings["price"].null_count() < listings.height:
        price = pl.col("price")
        yield _Check("no price", "fill in the price", 0.5, price.is_null(), pl.lit("empty"))
        yield _Check("price of zero or less", "correct the price", 1, price <= 0, price)
    code = pl.col("code")
    yield _Check("barcode with a wrong check digit", "read it again from the product", 2, _wrong_gtin(code), code)
    language = pl.col("language")
    usual = listings["language"].drop_nulls().mode().sort().head(1).to_list()
    if usual:
        advice = f"translate it, or send it in a feed of its own; most are in {usual[0]}"
        yield _Check(
            "another language than most", advice, 0.5, language.is_not_null() & (language != usual[0]), language
        )


def _wrong_gtin(code: pl.Expr) -> pl.Expr:
    """GTIN-8, -12, -13 or -14 whose last digit isn't the check digit (GS1 General Specifications, 7.9)."""
    one = pl.element()
    number = one.cast(pl.Int64, strict=False)
    weighted = pl.sum_horizontal(number // 10**place % 10 * (3 if place % 2 else 1) for place in range(14))
    wrong = one.str.contains(r"^(\d{8}|\d{12,14})$") & (weighted % 10 != 0)
    return code.str.extract_all(r"[^\[\]\", ]+").list.eval(wrong).list.any()  # a product of variants has a list


def _dropped(drops: pl.DataFrame) -> Iterator[Problem]:
    for (reason,), rows in drops.group_by("reason", maintain_order=True):
        yield Problem(f"row dropped: {reason}", "correct these rows", 10, rows.select(*WHERE, found="detail"))
