"""Pairs of listings that are alike, and in what: text, picture, or both."""

from __future__ import annotations

import polars as pl

from workbench.catalog.duplicates.bands import Ints
from workbench.catalog.duplicates.overlay import SURE
from workbench.catalog.duplicates.texts import SIMILAR, Texts, in_family, near_texts

FEW = 20  # listings with one picture that are all compared with one another; of more, each with the first
PAIRS = pl.Schema({"left": pl.UInt32, "right": pl.UInt32, "kind": pl.String, "score": pl.Float64})
ONE = 0.8  # similarity of texts, one holding all words of the other, that are told alike by no picture


def kin(
    facts: pl.DataFrame, texts: Texts, likely: tuple[Ints, Ints], shown: pl.DataFrame, near: pl.DataFrame
) -> pl.DataFrame:
    """left, right, kind, score, ordered; no pair of one product group.

    `facts` has a line a listing: row, group, code (valid ones), text; `likely` are the candidates by words; `shown` has
    row, picture, look, and `near` left, right, score of near-duplicate pictures. Listings with different codes are
    different products: alike, but never one.
    """
    sames, nears = same_pictures(shown), shown_near(shown, near)
    wholes = _same_texts(facts, shown)
    reworded = _reworded(likely, texts)
    pairs = pl.concat([p.select("left", "right") for p in (sames, nears, wholes, reworded)]).unique()
    return tell(pairs, facts, texts, shown, sames, nears)


def tell(
    pairs: pl.DataFrame,
    facts: pl.DataFrame,
    texts: Texts,
    shown: pl.DataFrame,
    sames: pl.DataFrame,
    nears: pl.DataFrame,
) -> pl.DataFrame:
    """Of the pairs left < right those of kin, with kind and score; `sames` and `nears` are alike in a picture."""
    pairs = _told(pairs, facts).filter(pl.col("group") != pl.col("group_right")).sort("left", "right")
    pairs = pairs.join(sames, on=["left", "right"], how="left").join(
        nears.rename({"score": "near"}), on=["left", "right"], how="left", maintain_order="left"
    )
    main = shown.unique("row", keep="first", maintain_order=True).select("row", "picture", "look")
    for side in ("left", "right"):
        pairs = pairs.join(
            main.rename({"row": side, "picture": f"picture_{side}", "look": f"look_{side}"}),
            on=side,
            how="left",
            maintain_order="left",
        )
    left, right = (pairs[side].to_numpy().astype("int64") for side in ("left", "right"))
    like = texts.compare(left, right)
    similar = (like.words >= SIMILAR) & like.numbers
    nearly = near_texts(texts, left, right, like)
    one_family = in_family(left, right, like, similar)
    pairs = pairs.with_columns(
        pl.Series("words", like.words),
        pl.Series("similar", similar & ~one_family),
        pl.Series("nearly", nearly),
        pl.Series("added", nearly & like.contained & (like.words >= ONE)),
        pl.Series("chance", like.common < texts.telling / 2),
    )
    return _kinds(pairs).sort("left", "right")


def _kinds(pairs: pl.DataFrame) -> pl.DataFrame:
    same_text = pl.col("text") == pl.col("text_right")
    same_picture = pl.col("same").is_not_null() | (pl.col("picture_left") == pl.col("picture_right")).fill_null(False)
    near_picture = pl.col("near").is_not_null() | (pl.col("look_left") == pl.col("look_right")).fill_null(False)
    neither = pl.col("picture_left").is_null() & pl.col("picture_right").is_null()
    apart = pl.col("picture_left").is_not_null() & pl.col("picture_right").is_not_null() & ~near_picture
    one = (pl.col("code") == pl.col("code_right")).fill_null(True)  # not two products by their codes
    alike = same_text | pl.col("similar")
    kind = (
        pl.when(one & same_text & (same_picture | (neither & ~pl.col("chance"))))
        .then(pl.lit("same listing"))
        .when(one & (alike & (same_picture | near_picture) | neither & pl.col("added")))
        .then(pl.lit("near listing"))
        .when(same_text & ~pl.col("chance"))
        .then(pl.lit("same text"))
        .when(pl.col("added") | (pl.col("nearly") & ~apart))
        .then(pl.lit("near text"))
        .when(same_picture)
        .then(pl.lit("same picture"))
        .when(pl.col("near") >= SURE)
        .then(pl.lit("near picture"))
    )
    by_words = pl.col("kind").str.ends_with("text") | pl.col("kind").eq("near listing")
    score = (
        pl.when(pl.col("kind").str.starts_with("same"))
        .then(1.0)
        .when(by_words)
        .then(pl.col("words").round(2))
        .otherwise("near")
    )
    return (
        pairs.with_columns(kind=kind)
        .filter(pl.col("kind").is_not_null())
        .select("left", "right", "kind", score=score)
        .cast(PAIRS)
    )


def _told(pairs: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    left = facts.rename({"row": "left"})
    right = facts.select(pl.col("row").alias("right"), pl.exclude("row").name.suffix("_right"))
    return pairs.join(left, on="left").join(right, on="right")


def _same_texts(facts: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Each listing with the first of its text, and with the first of its text and picture."""
    main = shown.unique("row", keep="first", maintain_order=True).select("row", "look")
    lines = facts.filter(pl.col("text").is_not_null()).join(main, on="row", how="left", maintain_order="left")
    stars = [lines.select(pl.col("row").min().over(by).alias("left"), right="row") for by in ("text", ["text", "look"])]
    return pl.concat(stars).filter(pl.col("left") < pl.col("right"))


def _reworded(likely: tuple[Ints, Ints], texts: Texts) -> pl.DataFrame:
    """The candidates by words that are alike."""
    left, right = likely
    like = texts.compare(left, right)
    worth = (like.words >= SIMILAR) & like.numbers
    return pl.DataFrame({"left": left[worth], "right": right[worth]}).cast(pl.UInt32)


def same_pictures(shown: pl.DataFrame) -> pl.DataFrame:
    """Pairs of listings that show the same bytes: left, right, same."""
    lines = shown.select("row", "picture").unique(maintain_order=True)
    lines = lines.with_columns(first=pl.col("row").min().over("picture"), size=pl.len().over("picture"))
    few = lines.filter(pl.col("size").is_between(2, FEW))
    all_pairs = few.join(few, on="picture").select(left="row", right="row_right")
    star = lines.filter(pl.col("size") > FEW).select(left="first", right="row")
    pairs = pl.concat([all_pairs, star]).filter(pl.col("left") < pl.col("right")).unique()
    return pairs.with_columns(same=pl.lit(True))


def shown_near(shown: pl.DataFrame, near: pl.DataFrame) -> pl.DataFrame:
    """Pairs of listings that show near-duplicates, the first few of each picture: left, right, score."""
    lines = shown.select("row", "picture").unique(maintain_order=True)
    some = lines.filter(pl.int_range(pl.len()).over("picture") < FEW // 4)
    joined = near.join(some, left_on="left", right_on="picture").join(some, left_on="right", right_on="picture")
    ends = pl.min_horizontal("row", "row_right").alias("left"), pl.max_horizontal("row", "row_right").alias("right")
    pairs = joined.select(*ends, "score").filter(pl.col("left") < pl.col("right"))
    return pairs.group_by("left", "right").agg(pl.col("score").max())
