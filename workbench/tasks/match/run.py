"""What the Match stage does: tune on the pairs, measure every arm on the test pairs, write the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.stage import Work
from workbench.catalog.split import read_listings
from workbench.errors import DataError
from workbench.evaluate.binary import average_precision, precision_recall, threshold_for
from workbench.evaluate.compare import BOOTSTRAP, Measured, arm_of, differences, verdict
from workbench.evaluate.intervals import Floats, resamples
from workbench.recipe.schema import Match
from workbench.tasks.baselines import features as baselines
from workbench.tasks.catalog import open_catalog
from workbench.tasks.match.pairs import Pairs, read_pairs
from workbench.tasks.match.tuning import PairTuning
from workbench.tasks.network import model_section
from workbench.tasks.tune import tune
from workbench.tasks.tuned import write_answers

EXAMPLES, POINTS = 24, 200  # pairs shown as best and as worst; points of a curve
PARTS = ("train", "valid", "test")
NOTHING = "The test part has no pairs of both kinds, matching and not: nothing could be measured."


@dataclass(frozen=True)
class ArmScores:
    """What an arm says of the held-out pairs: part -> scores, one for each seed; a network's are probabilities."""

    arm: str
    share: float | None
    seeds: Sequence[Mapping[str, Floats]]


def run_match(work: Work, match: Match) -> dict[str, Any]:
    """Tune, measure, write; the summary for the manifest."""
    items = read_listings(work.inputs)
    pairs, dropped = read_pairs(match.pairs, items)
    train = pairs.of("train")
    if train.match.all() or not train.match.any():
        reasons = ", ".join(f"{d['count']} {d['reason']}" for d in _reasons(dropped)) or "none"
        raise DataError(
            f"{match.pairs}: {int(train.match.sum())} of the {len(train)} pairs of the train part match; expected both "
            f"matching pairs and others, of listings that are both in the train part (pairs left out: {reasons})"
        )
    groups = items["group"].to_numpy().astype(np.str_)
    held_out = {part: pairs.of(part) for part in ("valid", "test")}
    runs = tune(work, "match", PairTuning(match, train, groups[train.rows[:, 0]], held_out))

    arms: dict[tuple[str, float | None], list[Mapping[str, Floats]]] = {}
    for run, scores in runs.items():
        arms.setdefault((run.arm, run.share), []).append({part: 1 / (1 + np.exp(-s)) for part, s in scores.items()})
    tuned = [ArmScores(arm, share, seeds) for (arm, share), seeds in arms.items()]
    catalog = open_catalog(work.inputs, model_section(work.inputs["pretrain"]), work.runtime)
    known = {part: pairs.of(part) for part in PARTS if part == "train" or len(pairs.of(part))}
    by_baseline = baselines.score_pairs(catalog, {part: p.rows for part, p in known.items()}, {"train": train.match})
    nothing = {part: np.zeros(0) for part in held_out}
    shares = {baselines.BOTH: 1.0}  # it learns from all labels, the cosines from none
    plain = [ArmScores(name, shares.get(name), [nothing | by_baseline[name]]) for name in baselines.names()]

    section = {"pairs": _counts(pairs, dropped)} | measure([*tuned, *plain], held_out, groups, match.precision)
    (work.folder / "results.json").write_text(json.dumps(section, indent=1, ensure_ascii=False, allow_nan=False))
    _write_scores(work.folder / "scores.parquet", items["id"], held_out, [*tuned, *plain])
    write_answers(work.folder, {"match": {}})
    dropped.write_csv(work.folder / "pairs_dropped.csv")
    pr_auc = {_name(a["arm"], a["share"]): a["pr_auc"]["mean"] for a in section["arms"]}
    return {"pairs": len(pairs), "dropped": dropped.height, "pr_auc": pr_auc}


def _name(arm: str, share: float | None) -> str:
    return arm if arm.endswith(" baseline") else f"{arm} {share:g}"


def measure(
    arms: Sequence[ArmScores], held_out: Mapping[str, Pairs], groups: NDArray[np.str_], precision: float
) -> dict[str, Any]:
    """All of the section that rests on scores; the first arm is the network that is kept."""
    valid, test = held_out["valid"], held_out["test"]
    if test.match.all() or not test.match.any():
        return {"arms": [], "differences": [], "verdict": [NOTHING], "curve": [], "best": [], "worst": []}
    weights_Rn = resamples(groups[test.rows[:, 0]], BOOTSTRAP)
    measured = [
        Measured(a.arm, a.share, {"pr_auc": [average_precision(test.match, s["test"], weights_Rn) for s in a.seeds]})
        for a in arms
    ]
    shown = [
        arm_of(m)
        | {
            "by_seed": [float(values[0]) for values in m.seeds["pr_auc"]],
            "threshold": _threshold(precision, valid, test, a.seeds[0]),
        }
        for m, a in zip(measured, arms, strict=True)
    ]
    found = differences(measured, "pr_auc")
    best, worst = _examples(test, arms[0].seeds[0]["test"])
    return {
        "arms": shown,
        "differences": found,
        "verdict": [*verdict(shown, found, "pr_auc", "PR AUC"), _threshold_in_words(shown[0]["threshold"])],
        "curve": [{"arm": a.arm, "share": a.share, "points": _curve(test, a.seeds[0]["test"])} for a in arms],
        "best": best,
        "worst": worst,
    }


def _counts(pairs: Pairs, dropped: pl.DataFrame) -> dict[str, Any]:
    of_part = {part: pairs.of(part) for part in PARTS}
    counts = {part: {"pairs": len(p), "positives": int(p.match.sum())} for part, p in of_part.items()}
    return {**counts, "dropped": _reasons(dropped)}


def _reasons(dropped: pl.DataFrame) -> list[dict[str, Any]]:
    return dropped.group_by("reason").len("count").sort("count", "reason", descending=[True, False]).to_dicts()


def _threshold(precision: float, valid: Pairs, test: Pairs, scores: Mapping[str, Floats]) -> dict[str, float | None]:
    """The score that reaches the precision on the valid pairs, and what it does on the test pairs."""
    score = threshold_for(precision, valid.match, scores["valid"]) if len(valid) else None
    above = scores["test"] >= (np.inf if score is None else score)
    hits = float((above & test.match).sum())
    return {
        "wanted_precision": precision,
        "score": score,
        "precision": hits / float(above.sum()) if above.any() else None,
        "recall": None if score is None else hits / float(test.match.sum()),
    }


def _threshold_in_words(threshold: Mapping[str, float | None]) -> str:
    wanted = f"{threshold['wanted_precision']:.0%}"
    if threshold["precision"] is None:
        return f"No score was found at which {wanted} of the pairs above it match."
    return (
        f"Asked for pairs of which {wanted} match, it finds {threshold['recall']:.0%} of all matches in the test part, "
        f"and {threshold['precision']:.0%} of what it finds are matches."
    )


def _curve(test: Pairs, scores_n: Floats) -> list[list[float]]:
    """[recall, precision] at every distinct score, thinned evenly."""
    precision, recall, _ = precision_recall(test.match, scores_n)
    chosen = np.unique(np.linspace(0, len(recall) - 1, POINTS).round().astype(int))
    return [[float(r), float(p)] for r, p in zip(recall[chosen], precision[chosen], strict=True)]


def _examples(test: Pairs, scores_n: Floats) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pairs judged rightly and wrongly with the most certainty; above 0.5 says: the same product.

    Matches and others take turns, since there are more of the others.
    """
    order = np.argsort(-np.abs(scores_n - 0.5), kind="stable")
    right = (scores_n > 0.5) == test.match

    def shown(wanted: bool) -> list[dict[str, Any]]:
        kinds = (order[(right[order] == wanted) & (test.match[order] == kind)] for kind in (True, False))
        turns = [int(i) for pair in zip_longest(*kinds) for i in pair if i is not None]
        return [
            {
                "left": {"row": int(test.rows[i, 0])},
                "right": {"row": int(test.rows[i, 1])},
                "match": int(test.match[i]),
                "score": float(scores_n[i]),
            }
            for i in turns[:EXAMPLES]
        ]

    return shown(True), shown(False)


def _write_scores(path: Path, ids: pl.Series, held_out: Mapping[str, Pairs], arms: Sequence[ArmScores]) -> None:
    """A line a pair, a column an arm: the mean over its seeds."""
    rows = np.vstack([p.rows for p in held_out.values()])
    table = {
        "left": ids[rows[:, 0]],
        "right": ids[rows[:, 1]],
        "match": np.concatenate([p.match for p in held_out.values()]).astype(np.int8),
        "part": np.concatenate([p.part for p in held_out.values()]).tolist(),
    }
    for arm in arms:
        scores = np.array([np.concatenate([seed[part] for part in held_out]) for seed in arm.seeds])
        table[_name(arm.arm, arm.share)] = scores.mean(0)
    pl.DataFrame(table).write_parquet(path)
