"""What the Classify stage does: tune on the labelled listings, measure every arm on the test part, write it down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.stage import Work
from workbench.catalog.split import read_listings
from workbench.errors import DataError
from workbench.evaluate.classes import macro_f1
from workbench.evaluate.compare import BOOTSTRAP, Measured, arm_of, differences, verdict
from workbench.evaluate.intervals import Floats, mean, resamples
from workbench.recipe.schema import Classify
from workbench.tasks.baselines import features as baselines
from workbench.tasks.catalog import open_catalog
from workbench.tasks.classify.net import ClassTuning
from workbench.tasks.network import model_section
from workbench.tasks.tune import tune
from workbench.tasks.tuned import write_answers

EXAMPLES = 24  # listings shown as best and as worst
PARTS = ("train", "valid", "test")
NOTHING = "The test part has no listing with this label: nothing could be measured."
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ArmGuesses:
    """The classes an arm puts the test listings into, one array for each seed."""

    arm: str
    share: float
    seeds: Sequence[Ints]


def run_classify(work: Work, classify: Classify) -> dict[str, Any]:
    """Tune, measure, write; the summary for the manifest."""
    items = read_listings(work.inputs)
    names, label_N = read_labels(items, classify.label)
    labelled = {part: np.flatnonzero(items["part"].eq_missing(part).to_numpy() & (label_N >= 0)) for part in PARTS}
    train, test = labelled["train"], labelled["test"]
    if len(np.unique(label_N[train])) < 2:
        raise DataError(
            f"finetune.classify.label: the {len(train)} listings of the train part with a label {classify.label!r} "
            "are of fewer than two classes; choose another label or give classify: null"
        )
    groups = items["group"].to_numpy().astype(np.str_)
    labels = {part: label_N[rows] for part, rows in labelled.items()}
    runs = tune(work, "classify", ClassTuning(classify, len(names), labelled, labels, groups[train]))

    by_arm: dict[tuple[str, float], list[Floats]] = {}
    for run, scores in runs.items():
        by_arm.setdefault((run.arm, run.share), []).append(scores["test"])
    arms = [ArmGuesses(arm, share, [s.argmax(1) for s in seeds]) for (arm, share), seeds in by_arm.items()]
    if len(test):
        catalog = open_catalog(work.inputs, model_section(work.inputs["pretrain"]), work.runtime)
        guesses = baselines.classify_rows(catalog, train, label_N, test)
        arms += [ArmGuesses(name, 1.0, [guesses[name]]) for name in baselines.names()]

    counts = {part: len(rows) for part, rows in labelled.items()}
    section: dict[str, Any] = {"label": classify.label, "classes": len(names), "listings": counts}
    logits = next(iter(by_arm.values()))[0]
    section |= measure(arms, names, labels["train"], test, labels["test"], groups[test], logits)
    (work.folder / "results.json").write_text(json.dumps(section, indent=1, ensure_ascii=False, allow_nan=False))
    write_answers(work.folder, {"classify": {"label": classify.label, "classes": names}})
    table: dict[str, Any] = {"row": test, "class": [names[i] for i in labels["test"]]}
    for arm in arms:
        for seed, guess_n in zip(classify.seeds, arm.seeds, strict=False):
            baseline = arm.arm.endswith(" baseline")
            table[arm.arm if baseline else f"{arm.arm} {arm.share:g} seed {seed}"] = [names[i] for i in guess_n]
    pl.DataFrame(table).write_parquet(work.folder / "scores.parquet")
    f1 = {f"{a['arm']} {a['share']:g}": a["macro_f1"]["mean"] for a in section["arms"]}
    return {"classes": len(names), "unlabelled": int((label_N < 0).sum()), "macro_f1": f1}


def read_labels(items: pl.DataFrame, label: str) -> tuple[list[str], Ints]:
    """The classes, sorted by name, and each row's class, -1 without one; DataError when there is no such label."""
    column = f"label.{label}"
    if column not in items.columns:
        known = ", ".join(c.removeprefix("label.") for c in items.columns if c.startswith("label."))
        raise DataError(
            f"finetune.classify.label: no feed has a label {label!r}; "
            + (f"the labels are: {known}" if known else "name its column in catalog.feeds.columns.labels")
        )
    values = items[column].to_list()
    names = sorted({value for value in values if value is not None})
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([-1 if value is None else place[value] for value in values], np.int64)


def measure(
    arms: Sequence[ArmGuesses],
    names: Sequence[str],
    trained: Ints,
    rows: Ints,
    truth_n: Ints,
    groups: NDArray[np.str_],
    logits: Floats,
) -> dict[str, Any]:
    """All of the section that rests on guesses; the first seed of the first arm, with its logits, is what is kept."""
    if not len(rows):
        empty: dict[str, Any] = {k: [] for k in ("arms", "differences", "per_class", "best", "worst")}
        return empty | {"verdict": [NOTHING]}
    weights_Rn = resamples(groups, BOOTSTRAP)
    measured = [
        Measured(
            a.arm,
            a.share,
            {
                "accuracy": [mean((g == truth_n).astype(np.float64), weights_Rn) for g in a.seeds],
                "macro_f1": [macro_f1(truth_n, g, len(names), weights_Rn) for g in a.seeds],
            },
        )
        for a in arms
    ]
    shown, found = [arm_of(m) for m in measured], differences(measured, "macro_f1")
    unknown = ~np.isin(truth_n, trained)
    said = f"{unknown.sum()} test listings are of classes that no training listing has; they count as errors."
    best, worst = _examples(names, rows, truth_n, logits)
    return {
        "arms": shown,
        "differences": found,
        "per_class": per_class(names, truth_n, arms[0].seeds[0]),
        "best": best,
        "worst": worst,
        "verdict": verdict(shown, found, "macro_f1", "macro-F1") + ([said] if unknown.any() else []),
    }


def per_class(names: Sequence[str], truth_n: Ints, guess_n: Ints) -> list[dict[str, Any]]:
    """Support, precision, recall and F1 of each class that occurs among the truths or the guesses; 0 for 0 of 0."""
    table = []
    for label in np.union1d(truth_n, guess_n):
        true, guessed = truth_n == label, guess_n == label
        hits, support, found = int((true & guessed).sum()), int(true.sum()), int(guessed.sum())
        shares = {
            "precision": hits / max(found, 1),
            "recall": hits / max(support, 1),
            "f1": 2 * hits / (support + found),
        }
        table.append({"class": names[label], "support": support, **shares})
    return table


def _examples(
    names: Sequence[str], rows: Ints, truth_n: Ints, logits: Floats
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The listings judged rightly and wrongly with the most certainty."""
    odds = np.exp(logits - logits.max(1, keepdims=True))
    sure_n, guess_n = odds.max(1) / odds.sum(1), logits.argmax(1)
    order = np.argsort(-sure_n, kind="stable")
    right = guess_n == truth_n

    def shown(chosen: Ints) -> list[dict[str, Any]]:
        return [
            {
                "row": int(rows[i]),
                "truth": names[truth_n[i]],
                "guess": names[guess_n[i]],
                "probability": float(sure_n[i]),
            }
            for i in chosen[:EXAMPLES]
        ]

    return shown(order[right[order]]), shown(order[~right[order]])
