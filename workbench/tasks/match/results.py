"""The scores of all arms on the test pairs -> the section of the report, and what answers.json tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import numpy as np

from workbench.evaluate import binary, calibration
from workbench.evaluate.compare import Measured, arm_of, differences, number, readings_in_words, verdict
from workbench.evaluate.intervals import Bools, Floats, estimate
from workbench.evaluate.slices import of_pairs, sliced
from workbench.evaluate.suspects import suspected_pairs
from workbench.tasks.match.clusters import agreement, cluster
from workbench.tasks.match.exam import ArmScores, Test
from workbench.tasks.match.pairs import Pairs
from workbench.tasks.match.tuning import NEAR
from workbench.tasks.readings import READINGS, scored

EXAMPLES, POINTS = 24, 200  # pairs shown as best and as worst; points of a curve
JUDGE = "pr_auc"
NOTHING = "The test part has no pairs of both kinds, matching and not: nothing could be measured."


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
