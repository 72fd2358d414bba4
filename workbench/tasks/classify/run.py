"""What the Classify stage does: tune on the labelled listings, measure every arm on the test part, write it down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from workbench.artifacts.stage import Work
from workbench.catalog.split import read_listings
from workbench.errors import DataError
from workbench.evaluate.calibrate import fit_temperature
from workbench.evaluate.intervals import Floats
from workbench.recipe.schema import Baselines, Classify
from workbench.tasks.catalog import Catalog, open_catalog
from workbench.tasks.classify.answer import probabilities
from workbench.tasks.classify.exam import Exam, thresholds_of
from workbench.tasks.classify.labels import Labels, levels_of, read_labels
from workbench.tasks.classify.results import ArmGuesses, measured
from workbench.tasks.classify.target import Target, name_of, target_of
from workbench.tasks.classify.tuning import ClassTuning
from workbench.tasks.network import model_section
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.runs import Run
from workbench.tasks.tune import Scores, choose_labels, tune
from workbench.tasks.tuned import write_answers

if TYPE_CHECKING:
    from workbench.tasks.baselines.rivals import Rival

PARTS = ("train", "valid", "test")
SHOWN = 20  # names of rare classes


@dataclass(frozen=True)
class Prepared:
    """The labelled listings, ready to be learnt."""

    tuning: ClassTuning
    labels: Labels
    items: pl.DataFrame
    exams: Mapping[str, Exam]  # of the held-out parts

    @property
    def target(self) -> Target:
        return self.tuning.target


def run_classify(work: Work, classify: Classify, baselines: Baselines) -> dict[str, Any]:
    """Tune, measure, write; the summary for the manifest."""
    from workbench.tasks.baselines.rivals import rivals  # scikit-learn

    prepared = prepare(work, classify)
    runs = tune(work, "classify", prepared.tuning)
    section, told = measure(work, prepared, runs, rivals(_catalog(work), baselines, work.runtime))
    (work.folder / "results.json").write_text(json.dumps(section, indent=1, ensure_ascii=False, allow_nan=False))
    write_answers(work.folder, {"classify": told})
    f1 = {f"{a['arm']} {a['share']:g}": a["macro_f1"] and a["macro_f1"]["mean"] for a in section["arms"]}
    return {"classes": section["classes"], "unlabelled": section["unlabelled"], "macro_f1": f1}


def prepare(work: Work, classify: Classify) -> Prepared:
    """Raises DataError where there is nothing to learn."""
    items = read_listings(work.inputs)
    labels = read_labels(classify, items)
    part_N = {part: items["part"].eq_missing(part).to_numpy() for part in PARTS}
    target = target_of(labels.cells, part_N["train"], classify.several, classify.rare)
    learnt_N = {part: part_N[part] & (target.learnable_N if part == "train" else target.truth_N >= 0) for part in PARTS}
    rows = {part: np.flatnonzero(learnt_N[part]) for part in PARTS}
    if len(target.paths) < 2:
        lost = ", ".join(f"{line['count']} {line['reason']}" for line in labels.reasons)
        raise DataError(
            f"finetune.classify.label: the {len(rows['train'])} listings of the train part with a label "
            f"{' > '.join(levels_of(classify))!r} are of fewer than two classes; choose another label, keep rare "
            "classes (rare.then: keep), or give classify: null"
            + (f"; lines of {classify.labels} that are not used: {lost}" if lost else "")
        )
    groups = items["group"].to_numpy().astype(np.str_)
    exams = {part: Exam(target, target.truth_N[rows[part]], groups[rows[part]]) for part in PARTS[1:]}
    pieces = work.inputs["tokens"].summary["vocabulary"]
    return Prepared(ClassTuning(classify, target, rows, groups[rows["train"]], pieces), labels, items, exams)


def measure(
    work: Work, prepared: Prepared, runs: Mapping[Run, Scores], rivals: Sequence[Rival]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The section of results.json, and the task's part of answers.json; scores.parquet and labels_dropped.csv in
    `work.folder`. The first run is that of the network that is kept."""
    arms: dict[tuple[str, float], ArmGuesses] = {}
    answers = []
    for run, scores in runs.items():
        told = _answers(prepared, scores["valid"])
        answers.append(told)
        read = {reading: probabilities(told, scores[scored("test", reading)]) for reading in READINGS}
        arm = arms.setdefault((run.arm, run.share), ArmGuesses(run.arm, run.share, [], []))
        arm.seeds.append(read)
        arm.thresholds.append(told["thresholds"] or [])
    plain = [_of_rival(prepared, rival, share) for share in _shares(prepared) for rival in rivals]
    every, rows = [*arms.values(), *plain], prepared.tuning.rows["test"]
    section = _counts(prepared) | measured(prepared.exams["test"], rows, every, _catalog(work))
    _write_scores(work, prepared, every)
    prepared.labels.dropped.write_csv(work.folder / "labels_dropped.csv")
    return section, answers[0]


def _catalog(work: Work) -> Catalog:
    return open_catalog(work.inputs, model_section(work.inputs["pretrain"]), work.runtime)


def _answers(prepared: Prepared, logits_nK: Floats) -> dict[str, Any]:
    """What answers.json says of a network: classes, and what the valid part calibrates."""
    target, exam = prepared.target, prepared.exams["valid"]
    told: dict[str, Any] = {"levels": list(target.levels), "several": target.several, "classes": target.classes}
    told |= {"paths": [list(path) for path in target.paths], "thresholds": None, "pieces": prepared.tuning.pieces}
    K = len(target.paths)
    if target.several is None:
        known = np.flatnonzero((exam.truth_nL[:, -1] >= 0) & (exam.truth_nL[:, -1] < K))
        return told | {"temperature": fit_temperature(logits_nK[known], exam.truth_nL[known, -1])}
    told["temperature"] = fit_temperature(logits_nK, exam.truth_nC[:, :K])
    return told | {"thresholds": thresholds_of(exam, probabilities(told, logits_nK))}


def _shares(prepared: Prepared) -> list[float]:
    return sorted(set(prepared.tuning.section.label_shares), reverse=True)


def _of_rival(prepared: Prepared, rival: Rival, share: float) -> ArmGuesses:
    """A baseline learnt from the same labels; those that tell no class in full are nothing to it."""
    tuning, target = prepared.tuning, prepared.target
    rows = tuning.rows["train"][choose_labels(tuning.groups, share, tuning.section.seeds[0])]
    holds_nK = target.holds_TK[target.truth_N[rows]]
    if target.several is None:
        exact_n = target.exact_T[target.truth_N[rows]]
        rows, holds_nK = rows[exact_n], holds_nK[exact_n]
    labels = holds_nK if target.several is not None else holds_nK.argmax(1)
    valid, asked = len(tuning.rows["valid"]), np.concatenate([tuning.rows["valid"], tuning.rows["test"]])
    nothing = {"both": np.full((len(asked), len(target.paths)), 1 / len(target.paths))}
    found = rival.classify(rows, labels, len(target.paths), asked) if len(rows) else nothing
    seed = {reading: probability_nK[valid:] for reading, probability_nK in found.items()}
    both = next(iter(found.values())) if "both" not in found else found["both"]
    thresholds = thresholds_of(prepared.exams["valid"], both[:valid]) if target.several is not None else []
    return ArmGuesses(f"{rival.name} baseline", share, [seed], [thresholds])


def _counts(prepared: Prepared) -> dict[str, Any]:
    """What the section says of the labels."""
    target, parts = prepared.target, prepared.items["part"]
    in_part = {part: parts.eq_missing(part).to_numpy() for part in PARTS}
    labelled = {part: len(prepared.tuning.rows[part]) for part in PARTS}
    how, file = prepared.tuning.section.rare, prepared.tuning.section.labels
    rare = {
        "fewer_than": how.fewer_than,
        "then": how.then,
        "classes": len(target.rare),
        "names": [name_of(path) for path in target.rare[:SHOWN]],
        "listings": {part: int((target.rare_N & at).sum()) for part, at in in_part.items()},
    }
    return {
        "label": " > ".join(target.levels),
        "levels": list(target.levels),
        "several": target.several is not None,
        "classes": len(target.paths),
        "listings": labelled,
        "unlabelled": {part: int(at.sum()) - labelled[part] for part, at in in_part.items()},
        "rare": rare,
        "file": file and {"name": file.name, "dropped": prepared.labels.reasons},
    }


def _write_scores(work: Work, prepared: Prepared, arms: Sequence[ArmGuesses]) -> None:
    """A line for each test listing: what it is said to be, and what each arm says."""
    exam, rows = prepared.exams["test"], prepared.tuning.rows["test"]
    several = prepared.target.several

    def said(probability_nK: Floats, thresholds: Sequence[float]) -> list[str]:
        if several is None:
            return [exam.names[k] for k in exam.judged(probability_nK)[0]]
        chosen_nC = exam.chosen(probability_nK, thresholds)
        return [several.join(exam.names[c] for c in np.flatnonzero(row)) for row in chosen_nC]

    table: dict[str, Any] = {"row": rows, "class": exam.told_n}
    for arm in arms:
        for seed, read, thresholds in zip(prepared.tuning.section.seeds, arm.seeds, arm.thresholds, strict=False):
            table[f"{arm.arm} {arm.share:g} seed {seed}"] = said(arm.whole(read), thresholds)
    pl.DataFrame(table).write_parquet(work.folder / "scores.parquet")
