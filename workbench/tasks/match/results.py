"""The scores of all arms on the test pairs -> the section of the report, and what answers.json tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.evaluate import binary, calibration
from workbench.evaluate.calibrate import Platt, fit_platt
from workbench.evaluate.compare import Measured, arm_of, differences, number, readings_in_words, verdict
from workbench.evaluate.intervals import Bools, Floats, estimate, weights_of
from workbench.evaluate.slices import of_pairs, sliced, slices_of
from workbench.evaluate.suspects import suspected_pairs
from workbench.tasks.catalog import Catalog
from workbench.tasks.match.clusters import agreement, cluster
from workbench.tasks.match.pairs import Pairs
from workbench.tasks.match.tuning import NEAR, PairTuning
from workbench.tasks.readings import READINGS, has_both, scored

EXAMPLES, POINTS = 24, 200  # pairs shown as best and as worst; points of a curve
JUDGE = "pr_auc"
NOTHING = "The test part has no pairs of both kinds, matching and not: nothing could be measured."


@dataclass(frozen=True)
class ArmScores:
    """What an arm says of the held-out pairs: name (readings.py) -> scores, one for each seed; higher is more alike."""

    arm: str
    share: float | None
    seeds: Sequence[Mapping[str, Floats]]


@dataclass(frozen=True)
class Test:
    """What the arms are measured on."""

    __test__ = False  # pytest takes it for one

    held_out: Mapping[str, Pairs]
    groups: NDArray[np.str_]  # (N,) product group of each row
    products: NDArray[np.int64]  # (N,) number of the product of each row, as far as is known
    both: Bools  # (N,) rows with a text and a usable picture
    slices: pl.DataFrame  # (N,) values of each row
    listings: Mapping[str, NDArray[np.int64]]  # by part: rows whose candidates were looked for

    @classmethod
    def of(cls, catalog: Catalog, tuning: PairTuning) -> Test:
        lengths = catalog.listings.tokens.lengths
        slices = slices_of(catalog.items, catalog.shards.states.to_list(), lengths)
        groups = catalog.items["group"].to_numpy().astype(np.str_)
        both = has_both(catalog, np.arange(catalog.items.height))
        return cls(tuning.held_out, groups, tuning.products, both, slices, tuning.listings)

    @property
    def pairs(self) -> Pairs:
        return self.held_out["test"]

    @cached_property
    def weights_Rn(self) -> Floats:
        return weights_of(self.groups[self.pairs.rows[:, 0]])

    @property
    def whole_n(self) -> Bools:
        """Test pairs of which both have both: what is lost without the one or the other is no matter of the pairs."""
        return np.asarray(self.both[self.pairs.rows].all(1))

    def calibrated(self, seed: Mapping[str, Floats]) -> Platt:
        """What makes these scores probabilities: fitted on the valid pairs."""
        return fit_platt(seed["valid"], self.held_out["valid"].match)


def name(arm: str, share: float | None) -> str:
    """Of an arm's column."""
    return arm if share is None else f"{arm} {share:g}"


def section(test: Test, arms: Sequence[ArmScores], precision: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """All of results.json that rests on scores, and what answers.json tells; the first arm is the one that is kept."""
    told, match = answers(test, arms[0], precision), test.pairs.match
    clusters = [joined for arm in arms if (joined := _clusters(test, arm, precision))]
    if match.all() or not match.any():
        lists = ("arms", "readings", "slices", "differences", "calibration", "curve", "best", "worst", "suspects")
        undefined = binary.undefined(match, "pairs", "a match")
        empty: dict[str, Any] = {key: [] for key in lists}
        return {"measure": JUDGE, "undefined": undefined, "verdict": [NOTHING], "clusters": clusters} | empty, told
    measured = [_measured(test, arm, precision) for arm in arms]
    shown = [
        arm_of(m)
        | {"by_seed": [number(values[0]) for values in m.seeds[JUDGE]], "threshold": _threshold(test, arm, precision)}
        for m, arm in zip(measured, arms, strict=True)
    ]
    found = differences(measured, JUDGE)
    scores = arms[0].seeds[0]["test"]
    probability = test.calibrated(arms[0].seeds[0])(scores)
    best, worst = _examples(test.pairs, probability)
    doubted = suspected_pairs(match, probability)[:EXAMPLES]
    bins = {"arm": arms[0].arm, "share": arms[0].share, "bins": calibration.reliability(match, probability)}
    return {
        "measure": JUDGE,
        "arms": shown,
        "readings": [line for arm in arms for line in _readings(test, arm)],
        "slices": _slices(test, arms[0]),
        "differences": found,
        "verdict": [
            *verdict(shown, found, JUDGE, "PR AUC"),
            *readings_in_words(_by_reading(test, arms[0]), "PR AUC"),
            _threshold_in_words(shown[0]["threshold"]),
        ],
        "calibration": [bins],
        "curve": [{"arm": a.arm, "share": a.share, "points": _curve(test.pairs, a.seeds[0]["test"])} for a in arms],
        "clusters": clusters,
        "best": best,
        "worst": worst,
        "suspects": [_shown(test.pairs, probability, int(i)) for i in doubted],
    }, told


def answers(test: Test, arm: ArmScores, precision: float) -> dict[str, Any]:
    """What answer.py needs of an arm's first seed."""
    told = asdict(test.calibrated(arm.seeds[0]))
    return {"calibration": told, "precision": precision, "threshold": _chosen(test, arm, precision)}


def _chosen(test: Test, arm: ArmScores, precision: float) -> float | None:
    """The probability from which on the valid pairs reach the precision."""
    valid, scores = test.held_out["valid"], arm.seeds[0]["valid"]
    return binary.threshold_for(precision, valid.match, test.calibrated(arm.seeds[0])(scores))


def _measured(test: Test, arm: ArmScores, precision: float) -> Measured:
    match, weights, seeds = test.pairs.match, test.weights_Rn, [seed["test"] for seed in arm.seeds]
    probabilities = [test.calibrated(seed)(seed["test"]) for seed in arm.seeds]
    return Measured(
        arm.arm,
        arm.share,
        {
            JUDGE: [binary.average_precision(match, s, weights) for s in seeds],
            "roc_auc": [binary.roc_auc(match, s, weights) for s in seeds],
            "recall_at_precision": [binary.recall_at(precision, match, s, weights) for s in seeds],
            "calibration_error": [calibration.calibration_error(match, p, weights) for p in probabilities],
            "brier": [calibration.brier(match, p, weights) for p in probabilities],
        },
    )


def _judged(test: Test, arm: ArmScores, reading: str, chosen_n: Bools) -> Floats:
    """(R,) the judge of some of the test pairs, its mean over the seeds."""
    match, weights = test.pairs.match[chosen_n], test.weights_Rn[:, chosen_n]
    scores = [seed[scored("test", reading)][chosen_n] for seed in arm.seeds]
    return np.asarray(np.mean([binary.average_precision(match, s, weights) for s in scores], 0))


def _readings(test: Test, arm: ArmScores) -> list[dict[str, Any]]:
    told = {"arm": arm.arm, "share": arm.share, "items": int(test.whole_n.sum())}
    found = _by_reading(test, arm).items()
    return [told | {"reading": reading, JUDGE: estimate(values_R).json()} for reading, values_R in found]


def _by_reading(test: Test, arm: ArmScores) -> dict[str, Floats]:
    """(R,) the judge of each reading that the arm has."""
    asked = (reading for reading in READINGS if scored("test", reading) in arm.seeds[0])
    return {reading: _judged(test, arm, reading, test.whole_n) for reading in asked}


def _slices(test: Test, arm: ArmScores) -> list[dict[str, Any]]:
    values = of_pairs(test.slices, test.pairs.rows)

    def undefined(chosen_n: Bools) -> Mapping[str, str]:
        return binary.undefined(test.pairs.match[chosen_n], "pairs", "a match")

    return sliced(values, JUDGE, lambda chosen_n: _judged(test, arm, "both", chosen_n), undefined)


def _threshold(test: Test, arm: ArmScores, precision: float) -> dict[str, float | None]:
    """The probability that reaches the precision on the valid pairs, and what it does on the test pairs."""
    least, seed = _chosen(test, arm, precision), arm.seeds[0]
    above = test.calibrated(seed)(seed["test"]) >= (np.inf if least is None else least)
    hits = float((above & test.pairs.match).sum())
    return {
        "wanted_precision": precision,
        "score": least,
        "precision": hits / float(above.sum()) if above.any() else None,
        "recall": None if least is None else hits / float(test.pairs.match.sum()),
    }


def _threshold_in_words(threshold: Mapping[str, float | None]) -> str:
    wanted = f"{threshold['wanted_precision']:.0%}"
    if threshold["precision"] is None:
        return f"No score was found at which {wanted} of the pairs above it match."
    return (
        f"Asked for pairs of which {wanted} match, it finds {threshold['recall']:.0%} of all matches in the test part, "
        f"and {threshold['precision']:.0%} of what it finds are matches."
    )


def _clusters(test: Test, arm: ArmScores, precision: float) -> dict[str, Any] | None:
    """What becomes of the test listings if each one's candidates are asked for, joined where they match and taken
    apart where that contradicts; the threshold is that which reaches the precision on all candidates of the valid part.
    """
    seed = arm.seeds[0]
    if f"{NEAR}.test" not in seed:
        return None
    product, known = test.products, test.calibrated(seed)
    pairs = {part: seed[f"{NEAR}.{part}.rows"].astype(np.int64) for part in test.held_out if f"{NEAR}.{part}" in seed}
    same = {part: product[rows[:, 0]] == product[rows[:, 1]] for part, rows in pairs.items()}
    least = "valid" in pairs and binary.threshold_for(precision, same["valid"], known(seed[f"{NEAR}.valid"]))
    rows, counts = test.listings["test"], np.unique(product[test.listings["test"]], return_counts=True)[1]
    true = int((counts * (counts - 1) // 2).sum())
    told = {
        "arm": arm.arm,
        "share": arm.share,
        "listings": len(rows),
        "products": len(counts),
        "candidates": len(pairs["test"]),
        "candidate_recall": float(same["test"].sum()) / true if true else None,
        "threshold": least or None,
    }
    if not least:
        return told
    left, right = np.searchsorted(rows, pairs["test"]).T
    found = cluster(len(rows), left, right, known(seed[f"{NEAR}.test"]), least)
    return told | {
        "contradicted": len(found.against),
        "split": found.split,
        "connected": agreement(found.joined, product[rows]),
        "clusters": agreement(found.label, product[rows]),
    }


def _curve(test: Pairs, scores_n: Floats) -> list[list[float]]:
    """[recall, precision] at every distinct score, thinned evenly."""
    precision, recall, _ = binary.precision_recall(test.match, scores_n)
    chosen = np.unique(np.linspace(0, len(recall) - 1, POINTS).round().astype(int))
    return [[float(r), float(p)] for r, p in zip(recall[chosen], precision[chosen], strict=True)]


def _examples(test: Pairs, probability_n: Floats) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pairs judged rightly and wrongly with the most certainty; above 0.5 says: the same product.

    Matches and others take turns, since there are more of the others.
    """
    order = np.argsort(-np.abs(probability_n - 0.5), kind="stable")
    right = (probability_n > 0.5) == test.match

    def shown(wanted: bool) -> list[dict[str, Any]]:
        kinds = (order[(right[order] == wanted) & (test.match[order] == kind)] for kind in (True, False))
        turns = [int(i) for pair in zip_longest(*kinds) for i in pair if i is not None]
        return [_shown(test, probability_n, i) for i in turns[:EXAMPLES]]

    return shown(True), shown(False)


def _shown(test: Pairs, probability_n: Floats, i: int) -> dict[str, Any]:
    left, right = ({"row": int(row)} for row in test.rows[i])
    return {"left": left, "right": right, "match": int(test.match[i]), "score": float(probability_n[i])}


def write_scores(path: Path, ids: pl.Series, test: Test, arms: Sequence[ArmScores]) -> None:
    """A line a held-out pair, a column an arm and reading: calibrated probabilities, their mean over the seeds."""
    pairs = test.held_out
    rows = np.vstack([p.rows for p in pairs.values()])
    table: dict[str, Any] = {
        "left": ids[rows[:, 0]],
        "right": ids[rows[:, 1]],
        "match": np.concatenate([p.match for p in pairs.values()]).astype(np.int8),
        "part": np.concatenate([p.part for p in pairs.values()]).tolist(),
        "both": test.both[rows].all(1),
    }
    for arm in arms:
        known = [(test.calibrated(seed), seed) for seed in arm.seeds]
        for reading in (r for r in READINGS if scored("test", r) in arm.seeds[0]):
            column = name(arm.arm, arm.share) + ("" if reading == "both" else f" {reading}")
            whole = {
                part: [platt(seed[scored(part, reading)]) for platt, seed in known if scored(part, reading) in seed]
                for part in pairs
            }
            table[column] = [
                p
                for part in pairs
                for p in (np.mean(whole[part], 0).tolist() if whole[part] else [None] * len(pairs[part]))
            ]
    pl.DataFrame(table).write_parquet(path)
