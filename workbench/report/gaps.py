"""From the probes' losses by listing to their gaps: of all listings, and within each class of a label.

A gap is how much worse another partner is than the true one. Its interval is that of resampled product groups; where it
holds zero, it is undecided whether the partner matters there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.evaluate import intervals
from workbench.report.crossmodal import CONDITIONS
from workbench.report.verdict import above_zero

Json = dict[str, Any]
FEWEST = 20  # listings, and half as many product groups: a class with fewer is one of the others
OTHERS, UNLABELLED = "others", "without a label"
GAPS = {loss: [f"{beside}_minus_true" for beside in besides[1:]] for loss, besides in CONDITIONS.items()}
QUESTIONS = {
    "mlm": "Does the picture matter? MLM of hidden words, beside the true picture and another",
    "recon": "Does the text matter? RECON of a picture with hidden patches, beside the true text and another",
}
UNITS = {"mlm": "nats a hidden word", "recon": "squared error a pixel"}
WORDS = {
    "mlm": {"yes": "pictures help", "no": "pictures mislead", "undecided": "undecided"},
    "recon": {"yes": "words help", "no": "words mislead", "undecided": "undecided"},
}


def gaps(losses: pl.DataFrame, bootstrap: int, classes: Sequence[str | None] | None = None) -> Json:
    """Losses, gaps and their intervals by loss; with `classes`, one a listing, also `classes`: a list with one's own.

    `losses` is that of `Probe.losses`. A loss is left out where it isn't there or no word was hidden. Classes come with
    the greatest gap of the first loss first.
    """
    weights_Rn = intervals.resamples(losses["group"].to_list(), bootstrap)
    found = _measured(losses, weights_Rn)
    if classes is not None:
        apart = [
            {"name": name, "listings": len(places), **_measured(losses[places], weights_Rn[:, places])}
            for name, places in _places(classes, losses["group"].to_list())
        ]
        found["classes"] = sorted(apart, key=lambda one: (-_effect(one), one["name"]))
    return found


def _effect(one: Mapping[str, Any]) -> float:
    return next((float(one[loss][GAPS[loss][0]]["mean"]) for loss in CONDITIONS if loss in one), 0.0)


def _measured(losses: pl.DataFrame, weights_Rn: intervals.Floats) -> Json:
    found: Json = {}
    tokens_n = losses["tokens"].to_numpy().astype(np.float64)
    for loss, besides in CONDITIONS.items():
        if f"{loss}_true" not in losses.columns or (loss == "mlm" and not tokens_n.any()):
            continue
        bottoms_n = tokens_n if loss == "mlm" else np.ones(losses.height)
        with np.errstate(invalid="ignore"):  # a resample may hold no hidden word, or nothing of a class
            value_R = {b: intervals.ratio(losses[f"{loss}_{b}"].to_numpy(), bottoms_n, weights_Rn) for b in besides}
        found[loss] = {beside: float(value[0]) for beside, value in value_R.items()}
        for beside in besides[1:]:
            found[loss][f"{beside}_minus_true"] = asdict(intervals.estimate(value_R[beside] - value_R["true"]))
    return found


def _places(classes: Sequence[str | None], groups: Sequence[str]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Each class that is large enough, and where its listings are; then all others, and those without a label."""
    lines = pl.DataFrame({"class": classes, "group": groups}, schema={"class": pl.String, "group": pl.String})
    known = pl.col("class").is_not_null()
    large = (pl.len().over("class") >= FEWEST) & (pl.col("group").n_unique().over("class") >= FEWEST // 2)
    name = pl.when(~known).then(pl.lit(UNLABELLED)).when(large).then("class").otherwise(pl.lit(OTHERS))
    kind = pl.when(~known).then(2).when(large).then(0).otherwise(1)  # a class may itself be called "others"
    lines = lines.select(kind=kind, name=name).with_row_index("place")
    for (_, called), own in lines.group_by("kind", "name", maintain_order=True):
        yield str(called), own["place"].to_numpy().astype(np.int64)


def table(found: Mapping[str, Any], loss: str) -> list[tuple[str, ...]]:
    """Lines for the terminal: what is held against what, listings, true loss, gap, interval, in words."""
    digits = {"mlm": 3, "recon": 4}[loss]

    def line(name: str, listings: int, beside: str, one: Mapping[str, Any]) -> tuple[str, ...]:
        gap = one[f"{beside}_minus_true"]
        interval = f"[{gap['low']:+.{digits}f}, {gap['high']:+.{digits}f}]"
        said = WORDS[loss][above_zero(gap)] if listings >= FEWEST else "too few listings to say"
        return name, f"{listings:,}", f"{one['true']:.{digits}f}", f"{gap['mean']:+.{digits}f}", interval, said

    first, second = CONDITIONS[loss][1:]
    lines = [line(f"all, against {beside}", found["listings"], beside, found[loss]) for beside in (first, second)]
    classes = sorted((c for c in found.get("classes", ()) if loss in c), key=lambda c: -c[loss][GAPS[loss][0]]["mean"])
    return [*lines, *(line(c["name"], c["listings"], first, c[loss]) for c in classes)]
