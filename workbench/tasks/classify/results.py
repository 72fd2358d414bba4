"""What results.json says of the arms: measures, readings, slices, examples, suspected labels, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workbench.evaluate.calibration import reliability
from workbench.evaluate.compare import NOTHING, Measured, arm_of, differences, readings_in_words, verdict
from workbench.evaluate.intervals import Bools, Floats, Ints, estimate
from workbench.evaluate.slices import sliced, slices_of
from workbench.evaluate.suspects import best_and_worst, suspected_pairs, suspects
from workbench.tasks.catalog import Catalog
from workbench.tasks.classify.exam import Exam
from workbench.tasks.readings import has_both

EXAMPLES = 24  # listings shown as best, as worst and as suspects
JUDGE, NAME = "macro_f1", "macro-F1"
EMPTY = "The test part has no listing with this label: nothing could be measured."


@dataclass(frozen=True)
class ArmGuesses:
    """What an arm says of the test listings: their classes' probabilities (n, K) by reading; and (several) the
    thresholds of the classes; one each for each seed."""

    arm: str
    share: float
    seeds: list[Mapping[str, Floats]]
    thresholds: list[Sequence[float]]

    def whole(self, read: Mapping[str, Floats]) -> Floats:
        """Told of a listing with all it has; by a baseline that reads one modality, that one."""
        return read["both"] if "both" in read else next(iter(read.values()))


def measured(exam: Exam, rows: Ints, arms: Sequence[ArmGuesses], catalog: Catalog) -> dict[str, Any]:
    """All of the section that rests on guesses; the first seed of the first arm is that of the network that is kept."""
    if not len(rows):
        names = ("arms", "differences", "readings", "slices", "calibration", "per_class", "best", "worst", "suspects")
        return {"measure": JUDGE, "unseen": 0, **{name: [] for name in names}, "verdict": [EMPTY]}
    every = [_measured(exam, arm) for arm in arms]
    shown, found = [arm_of(m) for m in every], differences(every, JUDGE)
    kept, thresholds = arms[0].whole(arms[0].seeds[0]), arms[0].thresholds[0]
    _, sure_n, right_n = exam.judged(kept)
    both = np.flatnonzero(has_both(catalog, rows) & _judged(exam, rows))
    alone = {reading: _mean_of(exam, arms[0], reading, both) for reading in arms[0].seeds[0]} if len(both) else {}
    good, bad = best_and_worst(right_n, sure_n, EXAMPLES)
    unseen = int(exam.unseen_n.sum())
    said = f"{unseen} test listings are of classes that no training listing has; they count as errors."
    return {
        "measure": JUDGE,
        "arms": shown,
        "differences": found,
        "readings": [line for arm in arms for line in _readings(exam, arm, both)],
        "slices": _slices(exam, rows, kept, thresholds, catalog),
        "calibration": [{"arm": arms[0].arm, "share": arms[0].share, "bins": reliability(right_n, sure_n)}],
        "unseen": unseen,
        "per_class": exam.per_class(kept, thresholds),
        "best": _examples(exam, rows, good, kept),
        "worst": _examples(exam, rows, bad, kept),
        "suspects": _suspects(exam, rows, kept),
        "verdict": [
            *verdict(shown, found, JUDGE, NAME),
            *readings_in_words(alone, NAME),
            *([said] if unseen else []),
        ],
    }


def _judged(exam: Exam, rows: Ints) -> Bools:
    """(n,) whether the judge is of this listing: in a hierarchy of those that tell their whole path."""
    return np.ones(len(rows), bool) if exam.target.several is not None else exam.truth_nL[:, -1] >= 0


def _measured(exam: Exam, arm: ArmGuesses) -> Measured:
    marks = [exam.marks(arm.whole(read), at) for read, at in zip(arm.seeds, arm.thresholds, strict=True)]
    return Measured(arm.arm, arm.share, {name: [mark[name] for mark in marks] for name in marks[0]})


def _mean_of(exam: Exam, arm: ArmGuesses, reading: str, at: Ints) -> Floats:
    seeds = zip(arm.seeds, arm.thresholds, strict=True)
    return np.asarray(np.mean([exam.marks(read[reading], thresholds, at)[JUDGE] for read, thresholds in seeds], axis=0))


def _readings(exam: Exam, arm: ArmGuesses, both: Ints) -> list[dict[str, Any]]:
    """The judge of each reading, over the listings that have a text and a usable picture."""
    found = []
    for reading in arm.seeds[0]:
        judged = estimate(_mean_of(exam, arm, reading, both)).json() if len(both) else None
        why = {} if judged else {"undefined": {JUDGE: NOTHING}}
        said = {"arm": arm.arm, "share": arm.share, "reading": reading, "items": len(both), JUDGE: judged}
        found.append(said | why)
    return found


def _slices(
    exam: Exam, rows: Ints, kept: Floats, thresholds: Sequence[float], catalog: Catalog
) -> list[dict[str, Any]]:
    items = catalog.items
    values = slices_of(items, catalog.shards.states.to_list(), catalog.listings.tokens.lengths)[rows]
    if exam.target.several is None:
        top = [exam.target.truths[t][0][0] for t in exam.truth_n]
        values = values.select(pl.Series("category", top, pl.String), pl.all().exclude("category"))
    at = np.flatnonzero(_judged(exam, rows))
    return sliced(values[at], JUDGE, lambda chosen_n: exam.marks(kept, thresholds, at[chosen_n])[JUDGE])


def _examples(exam: Exam, rows: Ints, chosen: Ints, kept: Floats) -> list[dict[str, Any]]:
    class_n, sure_n, _ = exam.judged(kept)
    told_n = exam.told_n
    return [
        {"row": int(rows[i]), "truth": told_n[i], "guess": exam.names[class_n[i]], "probability": float(sure_n[i])}
        for i in chosen
    ]


def _suspects(exam: Exam, rows: Ints, kept: Floats) -> list[dict[str, Any]]:
    """Test listings whose label is probably wrong, by confident learning; of several: labels too many or lacking."""
    K = len(exam.target.paths)
    if exam.target.several is None:
        at = np.flatnonzero((exam.truth_nL[:, -1] >= 0) & (exam.truth_nL[:, -1] < K))
        places, guess = suspects(exam.truth_nL[at, -1], kept[at])
        return [
            {
                "row": int(rows[at[i]]),
                "truth": exam.names[exam.truth_nL[at[i], -1]],
                "guess": exam.names[k],
                "probability": float(kept[at[i], k]),
            }
            for i, k in list(zip(places, guess, strict=True))[:EXAMPLES]
        ]
    found: list[dict[str, Any]] = []
    for k in range(K):
        truth_n, sure_n = exam.truth_nC[:, k], kept[:, k]
        for i in suspected_pairs(truth_n, sure_n):
            said, name = ("", exam.names[k]) if truth_n[i] else (exam.names[k], "")
            doubt = float(1 - sure_n[i] if truth_n[i] else sure_n[i])
            found.append({"row": int(rows[i]), "truth": name, "guess": said, "probability": doubt})
    return sorted(found, key=lambda line: (-line["probability"], line["row"]))[:EXAMPLES]
