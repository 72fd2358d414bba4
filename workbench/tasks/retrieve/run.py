"""What the Retrieve stage does: tune on the listings that belong together, ask every arm, write down what it found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.stage import Work
from workbench.errors import DataError
from workbench.recipe.schema import Baselines, Retrieve
from workbench.tasks.catalog import Catalog, open_catalog
from workbench.tasks.network import model_section
from workbench.tasks.readings import scored
from workbench.tasks.retrieve import results
from workbench.tasks.retrieve.asked import Gallery
from workbench.tasks.retrieve.belonging import Belonging, Ints, read_belonging
from workbench.tasks.retrieve.crowds import NEAREST
from workbench.tasks.retrieve.results import Asked
from workbench.tasks.retrieve.tuning import FOUND, RetrieveTuning
from workbench.tasks.runs import Run
from workbench.tasks.tune import Scores, tune
from workbench.tasks.tuned import write_answers

if TYPE_CHECKING:
    from workbench.tasks.baselines.rivals import Rival


@dataclass(frozen=True)
class Prepared:
    """What belongs together, and what a network is tuned on."""

    catalog: Catalog
    belonging: Belonging
    dropped: pl.DataFrame | None  # pairs: line, left, right, reason
    tuning: RetrieveTuning


def prepare(work: Work, retrieve: Retrieve) -> Prepared:
    """Find out what belongs together. Raises DataError where that is nothing of the train part."""
    catalog = open_catalog(work.inputs, model_section(work.inputs["pretrain"]), work.runtime)
    belonging, dropped = read_belonging(catalog.items, retrieve)
    rows = belonging.answerable(catalog.rows("train"))
    if len(np.unique(belonging.product_N[rows])) < 2:
        why = f" of another {retrieve.across}" if retrieve.across else ""
        what = f"are in one pair of {retrieve.pairs.name}" if retrieve.pairs else f"have the same {retrieve.by}"
        raise DataError(
            f"finetune.retrieve: {len(rows)} of the {len(catalog.rows('train'))} listings of the train part belong to "
            f"another{why} (they {what}); expected those of two products at least; give finetune.retrieve.by what "
            "listings share that belong together (group, code, or a label), or finetune.retrieve.pairs"
        )
    galleries = {part: Gallery.of(belonging, catalog.rows(part)) for part in ("valid", "test")}
    near = _near(work, catalog.items, belonging, rows) if retrieve.negatives == "mined" else None
    groups = belonging.product_N[rows].astype(np.str_)
    return Prepared(catalog, belonging, dropped, RetrieveTuning(retrieve, belonging, rows, groups, galleries, near))


def _near(work: Work, items: pl.DataFrame, belonging: Belonging, rows: Ints) -> Ints:
    """(n, NEAREST) places of the listings most like each by their words and by their pictures, in turns."""
    from workbench.tasks.match.mine import Facts, looks, nearest, words

    facts = Facts.of(items, work.inputs)
    kin = np.stack([belonging.product_N, facts.component])
    vectors = (words(items, rows), looks(facts.colours[rows]))
    near = [nearest(some, rows, rows, kin, NEAREST) for some in vectors]
    places = np.full((len(rows), NEAREST), -1)
    for place, both in enumerate(zip(*near, strict=True)):
        turns = chain.from_iterable(zip_longest(*both))
        kept = [row for row in dict.fromkeys(turns) if row is not None][:NEAREST]
        places[place, : len(kept)] = np.searchsorted(rows, kept)
    return places


def run_retrieve(work: Work, retrieve: Retrieve, baselines: Baselines) -> dict[str, Any]:
    """Tune, measure, write; the summary for the manifest."""
    from workbench.tasks.baselines.rivals import rivals

    prepared = prepare(work, retrieve)
    runs = tune(work, "retrieve", prepared.tuning)
    section, told = measure(work, prepared, runs, rivals(prepared.catalog, baselines, work.runtime))
    (work.folder / "results.json").write_text(json.dumps(section, indent=1, ensure_ascii=False, allow_nan=False))
    write_answers(work.folder, {"retrieve": told})
    mrr = {results.name_of(a["arm"], a["share"]): a["mrr"]["mean"] for a in section["arms"] if a["mrr"]}
    return {"queries": section["queries"]["test"], "gallery": section["gallery"]["test"], "mrr": mrr}


def measure(
    work: Work, prepared: Prepared, runs: Mapping[Run, Scores], rivals: Sequence[Rival]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The section of results.json, and this task's part of answers.json; the first run is the network that is kept."""
    tuning, section = prepared.tuning, prepared.tuning.section
    by_arm: dict[tuple[str, float | None], list[Mapping[str, NDArray[np.float64]]]] = {}
    for run, scores in runs.items():
        by_arm.setdefault((run.arm, run.share), []).append(_asked(scores, section))
    arms = [Asked(arm, share, seeds) for (arm, share), seeds in by_arm.items()]
    test = tuning.galleries["test"]
    for rival in rivals:
        if seed := _ask(rival, test, section):
            arms.append(Asked(f"{rival.name} baseline", None, [seed]))
    first = {
        str(kind): next(iter(runs.values()))[scored("test", kind) + FOUND].astype(np.int64) for kind in section.queries
    }
    if prepared.dropped is not None:
        prepared.dropped.write_csv(work.folder / "pairs_dropped.csv")
    results.table(test, arms, prepared.catalog.items).write_parquet(work.folder / "queries.parquet")
    told = {"by": "pairs" if section.pairs else section.by, "across": section.across, "queries": list(section.queries)}
    counts = {
        "listings": {"train": len(tuning.rows)},
        "queries": {part: len(gallery.queries) for part, gallery in tuning.galleries.items()},
        "gallery": {part: len(gallery.rows) for part, gallery in tuning.galleries.items()},
        "kinds": list(section.queries),
    }
    groups = prepared.catalog.items["group"].to_numpy()[test.queries]
    if section.pairs or section.by in ("group", "code"):  # several groups may be one product
        groups = prepared.belonging.product_N[test.queries]
    return told | counts | results.measure(arms, test, first, groups, prepared.catalog, section), told


def _asked(scores: Scores, section: Retrieve) -> dict[str, NDArray[np.float64]]:
    """Measures of the test queries by their kind."""
    return {str(kind): scores[scored("test", kind)] for kind in section.queries}


def _ask(rival: Rival, test: Gallery, section: Retrieve) -> dict[str, NDArray[np.float64]]:
    """The same of a baseline, for the kinds that it can be asked with."""
    whole = rival.points(test.rows, "both") if len(test.queries) else None
    if whole is None:
        return {}
    asked = {
        kind: whole[test.places] if kind == "both" else rival.points(test.queries, kind) for kind in section.queries
    }
    return {str(kind): test.ask(points, whole)[0] for kind, points in asked.items() if points is not None}
