"""Which part of the split each component lies in: a function of its name, its label and what a given split says."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import polars as pl

from workbench.catalog.kinship import Kinship
from workbench.errors import DataError
from workbench.recipe.schema import Split

Part = Literal["train", "valid", "test"]
PARTS = ("train", "valid", "test")
BIG, BIG_SHARE = 50, 0.01  # listings, and share of all: a larger component is put where most is lacking
WORDS = {
    **dict.fromkeys(("train", "training", "trn", "tr", "learn", "fit"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "validate", "dev", "devel", "development", "eval", "tune"), "valid"),
    **dict.fromkeys(("test", "testing", "tst", "te", "holdout", "hold-out", "heldout", "held-out"), "test"),
}


def point_of(name: str, seed: int) -> float:
    """A point in [0, 1): a hash of seed and name."""
    digest = blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: exact as a float, so never rounded up to 1


def part_of(group: str, split: Split) -> Part:
    """The part of a group: its point on a line that the shares cut in order."""
    return _cut(point_of(group, split.seed), (split.train, split.valid, split.test))


def _cut(point: float, shares: tuple[float, ...]) -> Part:
    if point < shares[0]:
        return "train"
    # Against what is left for test, not train + valid: three shares may miss 1 by their rounding.
    return "test" if point >= 1 - shares[2] else "valid"


def place(items: pl.DataFrame, kinship: Kinship, split: Split) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The table of split.parquet, and what the certificate tells of a given split.

    Raises DataError for a label that isn't there, or for kin in two given parts where the recipe says fail.
    """
    lines = pl.DataFrame({"row": items["row"], "component": kinship.component, "group": items["group"]})
    lines = lines.with_columns(
        kinship.keep, kinship.copy_of.alias("copy_of"), _given(items, split), _label(items, split)
    )
    placed = _place(lines.filter("keep"), split)
    lines = lines.join(placed, on="component", how="left", maintain_order="left")
    lines, told = _honour(lines, items, split)
    reason = (
        pl.when(~pl.col("keep"))
        .then(pl.format("duplicate of {}", "copy_of"))
        .when(pl.col("leaks"))
        .then(pl.format("the feed puts it into {}, its kin into {}", "given", "part"))
    )
    table = lines.with_columns(reason.alias("reason")).select(
        pl.col("row").cast(pl.UInt32),
        pl.when(pl.col("reason").is_null()).then("part").alias("part"),
        pl.col("component").cast(pl.UInt32),
        "reason",
    )
    return table, told


def _given(items: pl.DataFrame, split: Split) -> pl.Series:
    """The feed's own parts in our words; null where it has none that is known."""
    words = items["given_split"].str.strip_chars().str.to_lowercase()
    known = words.replace_strict(WORDS, default=None, return_dtype=pl.String)
    return (known if split.given == "honour" else known.clear(len(known))).alias("given")


def _label(items: pl.DataFrame, split: Split) -> pl.Series:
    if split.stratify is None:
        return pl.Series("label", [""]).new_from_index(0, len(items))
    column = f"label.{split.stratify}"
    if column not in items.columns:
        known = ", ".join(c.removeprefix("label.") for c in items.columns if c.startswith("label.")) or "none"
        raise DataError(f"catalog.split.stratify: no feed has a label {split.stratify!r}; labels: {known}")
    return items[column].fill_null("").alias("label")


def _place(lines: pl.DataFrame, split: Split) -> pl.DataFrame:
    """component, part: by hash alone where nothing is given; a class of the label is a line of its own.

    A component's name is the first of its product groups; its label the commonest in it.
    """
    label = pl.col("label").mode().min()
    whole = lines.group_by("component").agg(pl.len().alias("size"), pl.col("group").min(), label)
    points = [point_of(name, split.seed) for name in whole["group"]]
    whole = whole.with_columns(pl.Series("point", points)).sort("label", "point", "group")
    parts: list[str] = []
    for _, line in whole.group_by("label", maintain_order=True):
        parts += _line(line["size"].to_numpy().astype(np.float64), line["point"].to_list(), split)
    return whole.select("component", pl.Series("part", parts, pl.String))


def _line(sizes: np.ndarray[Any, np.dtype[np.float64]], points: list[float], split: Split) -> list[str]:
    """The parts of components in the order of their points: the big ones where most is lacking, the others by cuts."""
    shares = np.array([split.train, split.valid, split.test])
    lack = shares * sizes.sum()
    big = (sizes > BIG) & (sizes > BIG_SHARE * sizes.sum())
    parts = [""] * len(sizes)
    for i in sorted(np.flatnonzero(big), key=lambda i: (-sizes[i], points[i])):
        part = int(np.argmax(np.where(shares > 0, lack, -np.inf)))
        lack[part] -= sizes[i]
        parts[i] = PARTS[part]
    if big.any():
        lack = np.maximum(lack, 0)
        shares = lack / lack.sum() if lack.sum() else shares
    if split.stratify is not None:  # by the place in line, not the point: even a small class has its shares
        small = np.where(big, 0, sizes)
        points = list((np.cumsum(small) - small / 2) / max(small.sum(), 1))
    return [part or _cut(point, tuple(shares)) for part, point in zip(parts, points, strict=True)]


def _honour(lines: pl.DataFrame, items: pl.DataFrame, split: Split) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Components follow what is given for them; `leaks`: the listings that must go since their kin are held out."""
    if lines["given"].null_count() == lines.height:
        unknown = items["given_split"].drop_nulls() if split.given == "honour" else items["given_split"].clear()
        told = {"unknown": dict(sorted(unknown.value_counts().iter_rows()))} if len(unknown) else {}
        return lines.with_columns(pl.lit(False).alias("leaks")), {"given": told}
    rank = pl.col("given").replace_strict({"train": 0, "valid": 1, "test": 2}, return_dtype=pl.Int8)
    kept = pl.col("keep") & pl.col("given").is_not_null()
    lines = lines.with_columns(rank.alias("rank"))
    strongest = pl.col("rank").filter(kept).max().over("component")
    lines = lines.with_columns(
        strongest.alias("strongest"), (pl.col("rank").filter(kept).n_unique().over("component") > 1).alias("torn")
    )
    leaks = pl.col("torn") & kept & (pl.col("rank") < pl.col("strongest"))
    lines = lines.with_columns(leaks.alias("leaks"), _named("strongest").fill_null(pl.col("part")).alias("part"))
    torn = lines.filter("torn")["component"].n_unique()
    if torn and split.conflict == "fail":
        example = lines.filter(pl.col("torn") & kept).sort("component", "row").head(1)["component"][0]
        ids = items["id"].gather(lines.filter((pl.col("component") == example) & kept)["row"].head(3)).to_list()
        raise DataError(
            f"catalog.split.given: {torn} components of kin lie in two given parts, for example {', '.join(ids)}; "
            "correct the feed's split column, or set catalog.split.conflict to drop or report"
        )
    if split.conflict == "report":
        lines = lines.with_columns(pl.lit(False).alias("leaks"), pl.coalesce("given", "part").alias("part"))
    words = items["given_split"].drop_nulls()
    unknown = words.filter(~words.str.strip_chars().str.to_lowercase().is_in(list(WORDS)))
    return lines, {
        "given": {
            "listings": dict(sorted(lines["given"].drop_nulls().value_counts().iter_rows())),
            "unknown": dict(sorted(unknown.value_counts().iter_rows())),
            "leaks": torn,
            "conflict": split.conflict,
        }
    }


def _named(rank: str) -> pl.Expr:
    return pl.col(rank).replace_strict(dict(enumerate(PARTS)), default=None, return_dtype=pl.String)
