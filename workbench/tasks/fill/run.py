"""What the Fill stage does: tune on known attributes, ask for those of the test part, measure every arm, write it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from workbench.artifacts.stage import Work
from workbench.batches.fields import Words
from workbench.catalog.split import read_listings
from workbench.evaluate.calibrate import fit_temperature, probabilities
from workbench.evaluate.intervals import Floats
from workbench.recipe.schema import Baselines, Fill
from workbench.tasks.catalog import Catalog, choose_device, open_catalog
from workbench.tasks.fill.exam import Arms, Guesses, thresholds_of, whole
from workbench.tasks.fill.plain import Rivals, plain_arms, rivals_of
from workbench.tasks.fill.results import section_of
from workbench.tasks.fill.tuning import FillTuning, Questions, key_of
from workbench.tasks.fill.values import MISSING, OTHER, Attribute, attributes_of, told_of
from workbench.tasks.network import load_network, model_section
from workbench.tasks.readings import READINGS
from workbench.tasks.runs import Run
from workbench.tasks.tune import Scores, tune
from workbench.tasks.tuned import Tuned, width_of, write_answers
from workbench.text.tokens import TokenTable

PARTS = ("train", "valid", "test")
UNTUNED = "untuned"  # the pre-trained network as it is: its language head needs no labels


@dataclass(frozen=True)
class Prepared:
    """The known attributes, ready to be learnt and asked."""

    tuning: FillTuning
    attributes: Sequence[Attribute]
    items: pl.DataFrame


def run_fill(work: Work, fill: Fill, baselines: Baselines) -> dict[str, Any]:
    """Tune, measure, write; the summary for the manifest."""
    prepared = prepare(work, fill)
    runs: dict[Run, Scores] = tune(work, "fill", prepared.tuning)
    if fill.answer == "words":
        runs[Run(UNTUNED, 0, fill.seeds[0])] = _untuned(work, prepared)
    section, told = measure(
        work, prepared, runs, rivals_of(prepared.attributes, _catalog(work), baselines, work.runtime)
    )
    (work.folder / "results.json").write_text(json.dumps(section, indent=1, ensure_ascii=False, allow_nan=False))
    write_answers(work.folder, {"fill": told})
    right = {f"{a['arm']} {a['share'] or 0:g}": a["accuracy"] and a["accuracy"]["mean"] for a in section["arms"]}
    return {"questions": section["questions"], "accuracy": right}


def prepare(work: Work, fill: Fill) -> Prepared:
    """Raises DataError where there is nothing to learn."""
    items, tokenizer = read_listings(work.inputs), TokenTable(work.inputs["tokens"].folder).tokenizer
    attributes = attributes_of(fill, items, tokenizer)
    told = {"answer": fill.answer, "attributes": told_of(attributes), "text": Words.of(tokenizer).tell()}
    questions = {part: _questions(items["part"].eq_missing(part).to_numpy(), attributes, part) for part in PARTS}
    groups = items["group"].to_numpy().astype(np.str_)[questions["train"].rows]
    return Prepared(FillTuning(fill, told, questions, groups), attributes, items)


def _questions(part_N: np.ndarray[Any, Any], attributes: Sequence[Attribute], part: str) -> Questions:
    least = 0 if part == "train" else OTHER
    rows = [np.flatnonzero(part_N & (a.value_N >= least)) for a in attributes]
    places = [np.full(len(some), place) for place, some in enumerate(rows)]
    values = [a.value_N[some] for a, some in zip(attributes, rows, strict=True)]
    return Questions(*(np.concatenate(parts).astype(np.int64) for parts in (rows, places, values)))


def measure(
    work: Work, prepared: Prepared, runs: Mapping[Run, Scores], rivals: Rivals | Sequence[Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The section of results.json, and the task's part of answers.json; scores.parquet in `work.folder`. The first run
    is that of the network that is kept."""
    arms: Arms = {}
    answers, kept = [], []
    for run, scores in runs.items():
        read = {reading: [scores[key_of("test", reading, a.name)] for a in prepared.attributes] for reading in READINGS}
        valid = [scores[key_of("valid", "both", a.name)] for a in prepared.attributes]
        warmth = _temperatures(prepared, valid)
        read, valid = {r: _warm(parts, warmth) for r, parts in read.items()}, _warm(valid, warmth)
        thresholds = thresholds_of(prepared.tuning.questions["valid"], valid, prepared.tuning.section.precision)
        answers.append(_told(prepared, warmth, thresholds))
        seed = {reading: Guesses.of(parts, thresholds) for reading, parts in read.items()}
        arms.setdefault((run.arm, run.share or None), []).append(seed)
        kept.append(read["both"])
    arms |= plain_arms(prepared.tuning, prepared.attributes, rivals) if isinstance(rivals, Mapping) else {}
    asked, catalog = prepared.tuning.questions["test"], _catalog(work)
    section = _counts(prepared) | section_of(prepared.attributes, asked, arms, kept[0], catalog)
    for line, attribute in zip(section["attributes"], answers[0]["attributes"].values(), strict=True):
        line["threshold"] = attribute["threshold"]
    _write_scores(work, prepared, arms)
    return section, answers[0]


def _untuned(work: Work, prepared: Prepared) -> Scores:
    """What the pre-trained network says without having seen one label."""
    device, model = choose_device(work), model_section(work.inputs["pretrain"])
    network = load_network(work.inputs["pretrain"].folder)
    tuned = Tuned(network, prepared.tuning.heads(width_of(network))).to(device).eval()
    listings = open_catalog(work.inputs, model, work.runtime, device).listings
    arm = prepared.tuning.section.pretrained.optim
    with torch.no_grad():
        scores = prepared.tuning.scores(tuned, listings, device, arm.micro_batch or arm.batch_size)
    return {key: said.numpy().astype(np.float64) for key, said in scores.items()}


def _catalog(work: Work) -> Catalog:
    return open_catalog(work.inputs, model_section(work.inputs["pretrain"]), work.runtime)


def _temperatures(prepared: Prepared, valid: Sequence[Floats]) -> list[float]:
    """Of each attribute, by the valid questions whose values can be said."""
    found = []
    for place, scores_nV in enumerate(valid):
        truth_n = prepared.tuning.questions["valid"].of(place).value
        found.append(fit_temperature(scores_nV[truth_n >= 0], truth_n[truth_n >= 0]))
    return found


def _warm(scores: Sequence[Floats], temperatures: Sequence[float]) -> list[Floats]:
    return [probabilities(part, warmth) for part, warmth in zip(scores, temperatures, strict=True)]


def _told(prepared: Prepared, temperatures: Sequence[float], thresholds: Sequence[float | None]) -> dict[str, Any]:
    """What answers.json says."""
    told = prepared.tuning.told
    chosen = zip(told["attributes"].items(), temperatures, thresholds, strict=True)
    return {**told, "attributes": {n: {**a, "temperature": warmth, "threshold": t} for (n, a), warmth, t in chosen}}


def _counts(prepared: Prepared) -> dict[str, Any]:
    """What the section says of the questions."""
    parts = {part: prepared.items["part"].eq_missing(part).to_numpy() for part in PARTS}
    section = prepared.tuning.section

    def counted(attribute: Attribute, kind: int) -> dict[str, int]:
        return {part: int((at & (attribute.value_N == kind)).sum()) for part, at in parts.items()}

    attributes = [
        {
            "attribute": a.name,
            "values": len(a.values),
            "listings": {part: int((at & (a.value_N != MISSING)).sum()) for part, at in parts.items()},
            "other": counted(a, OTHER),
            "missing": counted(a, MISSING),
        }
        for a in prepared.attributes
    ]
    questions = {part: len(asked) for part, asked in prepared.tuning.questions.items()}
    said = {"answer": section.answer, "fewer_than": section.fewer_than, "wanted_precision": section.precision}
    return {**said, "questions": questions, "attributes": attributes}


def _write_scores(work: Work, prepared: Prepared, arms: Arms) -> None:
    """A line for each test question: what it is, and what each arm says, and how sure it is."""
    asked = prepared.tuning.questions["test"]
    attributes = [prepared.attributes[place] for place in asked.attribute]
    truth = [prepared.items[a.column][int(row)] for a, row in zip(attributes, asked.rows, strict=True)]
    table: dict[str, Any] = {"row": asked.rows, "attribute": [a.name for a in attributes], "value": truth}
    for (arm, share), seeds in arms.items():
        for number, read in zip(prepared.tuning.section.seeds, seeds, strict=False):
            name, found = f"{arm} {share or 0:g} seed {number}", whole(read)
            table[name] = [a.values[v] for a, v in zip(attributes, found.guess, strict=True)]
            table[f"{name}.confidence"] = found.sure
    pl.DataFrame(table).write_parquet(work.folder / "scores.parquet")
