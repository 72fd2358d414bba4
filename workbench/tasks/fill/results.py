"""What results.json says of the arms: measures, readings, slices, examples, suspected values, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from workbench.evaluate.calibration import reliability
from workbench.evaluate.compare import NOTHING, Measured, arm_of, differences, readings_in_words, verdict
from workbench.evaluate.intervals import Floats, Ints, estimate, weights_of
from workbench.evaluate.slices import sliced, slices_of
from workbench.evaluate.suspects import best_and_worst, suspects
from workbench.tasks.catalog import Catalog
from workbench.tasks.fill.exam import Arms, Exam, Guesses, Read, whole
from workbench.tasks.fill.tuning import Questions
from workbench.tasks.fill.values import Attribute
from workbench.tasks.readings import has_both

EXAMPLES = 24  # questions shown as best, as worst and as suspects
JUDGE = "accuracy"
EMPTY = "No listing of the test part tells one of these attributes: nothing could be measured."
SILENT = {"precision": "undefined, because it was never sure enough to say a value"}


def section_of(
    attributes: Sequence[Attribute], asked: Questions, arms: Arms, kept: Sequence[Floats], catalog: Catalog
) -> dict[str, Any]:
    """All of the section that rests on answers; `kept`: probabilities of the network that is kept, by attribute."""
    if not len(asked):
        names = (
            "arms",
            "differences",
            "readings",
            "slices",
            "calibration",
            "by_attribute",
            "best",
            "worst",
            "suspects",
        )
        return {"measure": JUDGE, **{name: [] for name in names}, "verdict": [EMPTY]}
    weights = weights_of(catalog.items["group"].to_numpy().astype(np.str_)[asked.rows])
    exam = Exam(asked, np.cumsum([0, *(len(a.values) for a in attributes)]), weights)
    every = np.arange(len(asked))
    measured = [_measured(exam, arm, every) for arm in arms.items()]
    shown, found = [arm_of(m, SILENT) for m in measured], differences(measured, JUDGE)
    first = whole(next(iter(arms.values()))[0])
    good, bad = best_and_worst(exam.right(first), first.sure, EXAMPLES)
    both = np.flatnonzero(has_both(catalog, asked.rows))
    (arm, share), read = next(iter(arms.items()))
    alone = {reading: _mean_of(exam, read, reading, both) for reading in read[0]} if len(both) else {}
    return {
        "measure": JUDGE,
        "arms": shown,
        "differences": found,
        "readings": [line for item in arms.items() for line in _readings(exam, item, both)],
        "slices": _slices(exam, attributes, first, catalog),
        "calibration": [{"arm": arm, "share": share, "bins": reliability(exam.right(first), first.sure)}],
        "by_attribute": _by_attribute(exam, attributes, arms),
        "best": _examples(attributes, asked, good, first, catalog),
        "worst": _examples(attributes, asked, bad, first, catalog),
        "suspects": _suspects(attributes, asked, kept),
        "verdict": verdict(shown, found, JUDGE, JUDGE) + readings_in_words(alone, JUDGE) + _told(shown[0]),
    }


def _measured(exam: Exam, arm: tuple[tuple[str, float | None], list[Read]], at: Ints) -> Measured:
    (name, share), seeds = arm
    marks = [exam.marks(whole(read), at) for read in seeds]
    return Measured(name, share, {metric: [mark[metric] for mark in marks] for metric in marks[0]})


def _mean_of(exam: Exam, seeds: Sequence[Read], reading: str, at: Ints) -> Floats:
    return np.asarray(np.mean([exam.accuracy(read[reading], at) for read in seeds], axis=0))


def _readings(exam: Exam, arm: tuple[tuple[str, float | None], list[Read]], both: Ints) -> list[dict[str, Any]]:
    """The judge of each reading, over the listings that have a text and a usable picture."""
    (name, share), seeds = arm
    found = []
    for reading in seeds[0]:
        judged = estimate(_mean_of(exam, seeds, reading, both)).json() if len(both) else None
        why = {} if judged else {"undefined": {JUDGE: NOTHING}}
        found.append({"arm": name, "share": share, "reading": reading, "items": len(both), JUDGE: judged} | why)
    return found


def _slices(exam: Exam, attributes: Sequence[Attribute], first: Guesses, catalog: Catalog) -> list[dict[str, Any]]:
    asked, states = exam.asked, catalog.shards.states.to_list()
    values = slices_of(catalog.items, states, catalog.listings.tokens.lengths)[asked.rows]
    names = pl.Series("attribute", [attributes[place].name for place in asked.attribute])
    values = values.select(names, pl.all().exclude("attribute"))
    return sliced(values, JUDGE, lambda chosen_n: exam.accuracy(first, np.flatnonzero(chosen_n)))


def _by_attribute(exam: Exam, attributes: Sequence[Attribute], arms: Arms) -> list[dict[str, Any]]:
    found = []
    for place, attribute in enumerate(attributes):
        at = np.flatnonzero(exam.asked.attribute == place)
        for arm in arms.items() if len(at) else ():
            found.append({"attribute": attribute.name, "items": len(at)} | arm_of(_measured(exam, arm, at), SILENT))
    return found


def _examples(
    attributes: Sequence[Attribute], asked: Questions, chosen: Ints, first: Guesses, catalog: Catalog
) -> list[dict[str, Any]]:
    found = []
    for i in chosen:
        attribute, row = attributes[asked.attribute[i]], int(asked.rows[i])
        truth, guess = catalog.items[attribute.column][row], attribute.values[first.guess[i]]
        said = {"attribute": attribute.name, "truth": truth, "guess": guess}
        found.append({"row": row, **said, "probability": float(first.sure[i]), "said": bool(first.said[i])})
    return found


def _suspects(attributes: Sequence[Attribute], asked: Questions, kept: Sequence[Floats]) -> list[dict[str, Any]]:
    """Test listings whose value is probably wrong, by confident learning; the least probable first."""
    found: list[dict[str, Any]] = []
    for place, (attribute, probability_nV) in enumerate(zip(attributes, kept, strict=True)):
        at = np.flatnonzero(asked.attribute == place)
        can = np.flatnonzero(asked.value[at] >= 0)
        truth_n = asked.value[at[can]]
        for i, guess in zip(*suspects(truth_n, probability_nV[can]), strict=True):
            said = {
                "attribute": attribute.name,
                "truth": attribute.values[truth_n[i]],
                "guess": attribute.values[guess],
            }
            found.append(
                {"row": int(asked.rows[at[can[i]]]), **said, "probability": float(probability_nV[can[i], guess])}
            )
    return sorted(found, key=lambda line: -line["probability"])[:EXAMPLES]


def _told(arm: Mapping[str, Any]) -> list[str]:
    """How much of what is missing it says, and how often that is right."""
    if not arm["precision"]:
        return ["It is never sure enough to say a value."]
    said, right = arm["coverage"]["mean"], arm["precision"]["mean"]
    return [f"It is sure enough to answer {said:.0%} of the questions, and {right:.0%} of these answers are right."]
