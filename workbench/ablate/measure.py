"""The artifacts of a variant and a seed -> each measure over resamples of the test items, by product groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.store import Artifact
from workbench.catalog.split import read_listings
from workbench.evaluate.binary import average_precision
from workbench.evaluate.classes import macro_f1
from workbench.evaluate.compare import labels_in_words
from workbench.evaluate.intervals import BOOTSTRAP, Floats, resamples
from workbench.recipe.schema import Recipe


@dataclass(frozen=True)
class Measured:
    """A measure of one training: (R,) values, the first on the test items as they are."""

    name: str  # PR AUC
    of: str  # what was measured: 2,650 test pairs, 740 match
    items: pl.DataFrame  # those, to see whether two trainings were measured on the same
    values_R: Floats


def measures(recipe: Recipe, made: Mapping[str, Artifact]) -> Iterator[Measured]:
    """Each task's measure at each share of the labels; of pairs also with text alone and with the picture alone, at the
    largest share, on pairs of which both listings have both."""
    items = read_listings(made)
    groups = items["group"].to_numpy().astype(np.str_)
    if match := recipe.finetune.match:
        group = dict(zip(items["id"], groups, strict=True))
        pairs = pl.read_parquet(made["match"].path("scores.parquet")).filter(pl.col("part") == "test")
        shares = sorted(set(match.label_shares), reverse=True)
        named = {_name("PR AUC", share, match.label_shares): f"pretrained {share:g}" for share in shares}
        found = [_of_pairs(pairs, group, column, name) for name, column in named.items()]
        both = pairs.filter("both")
        found += [
            _of_pairs(both, group, f"pretrained {shares[0]:g} {reading}", f"PR AUC, {reading} alone")
            for reading in ("text", "picture")
        ]
        yield from (measured for measured in found if measured)
    if classify := recipe.finetune.classify:
        table = pl.read_parquet(made["classify"].path("scores.parquet"))
        for share in sorted(set(classify.label_shares), reverse=True) if table.height else ():
            guesses = table[f"pretrained {share:g} seed {classify.seeds[0]}"]
            name = _name(f"macro-F1, {classify.label}", share, classify.label_shares)
            yield _of_classes(name, table.select("row", "class"), guesses, groups)


def _name(measure: str, share: float, shares: tuple[float, ...]) -> str:
    return f"{measure}, {labels_in_words(share)}" if len(set(shares)) > 1 else measure


def _of_pairs(pairs: pl.DataFrame, group: Mapping[str, str], column: str, name: str) -> Measured | None:
    """None where there are no pairs of both kinds."""
    match = (pairs["match"] == 1).to_numpy()
    if match.all() or not match.any():
        return None
    weights_Rn = resamples([group[left] for left in pairs["left"]], BOOTSTRAP)
    values_R = average_precision(match, pairs[column].to_numpy(), weights_Rn)
    return Measured(
        name, f"{len(match):,} test pairs, {match.sum():,} match", pairs.select("left", "right", "match"), values_R
    )


def _of_classes(name: str, truth: pl.DataFrame, guesses: pl.Series, groups: NDArray[np.str_]) -> Measured:
    names = sorted(set(truth["class"]) | set(guesses))
    place = {word: i for i, word in enumerate(names)}
    truth_n, guess_n = (np.array([place[word] for word in words], np.int64) for words in (truth["class"], guesses))
    weights_Rn = resamples(groups[truth["row"].to_numpy()], BOOTSTRAP)
    return Measured(
        name,
        f"{truth.height:,} test listings, {truth['class'].n_unique()} classes",
        truth,
        macro_f1(truth_n, guess_n, len(names), weights_Rn),
    )
