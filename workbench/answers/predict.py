"""`mlim predict`: the classes, attributes or matches of a feed's listings, by name and with probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.answers.answers import PAIRS, Answers
from workbench.answers.pairs import clustering, matching
from workbench.answers.preparation import Prepared
from workbench.answers.run import BATCH, How
from workbench.errors import DataError


def task_of(answers: Answers, wanted: str | None) -> str:
    """The task that is asked for, or the model's first that answers for single listings."""
    if wanted:
        answers.told(wanted)
        return wanted
    single = [task for task in answers.tasks if task not in PAIRS]
    if not single and "match" in answers.tasks:
        return "match"
    if not single:
        raise DataError(
            "this model predicts nothing: it was trained for no task that names classes; mlim embed uses it"
        )
    return single[0]


def predicting(
    answers: Answers,
    wanted: str | None = None,
    top: int = 0,
    pairs: Path | None = None,
    clusters: bool = False,
    batch: int = BATCH,
) -> How:
    """How each listing is answered: the table of a task (by default the model's first), and its `top` most probable
    classes; or, of matches, `pairs` of a file or `clusters`. Raises DataError for what the model doesn't answer."""
    task = task_of(answers, wanted)
    if task == "match":
        if not pairs and not clusters:
            raise DataError("match answers for pairs: give --pairs pairs.csv (columns left, right), or --clusters")
        return matching(answers, pairs, batch) if pairs else clustering(answers, batch)
    if pairs or clusters:
        raise DataError(f"--{'pairs' if pairs else 'clusters'}: {task} answers for single listings; give --task match")
    if top and "classes" not in answers.told(task):
        raise DataError(f"--top: {task} has no list of classes")

    def answer(prepared: Prepared) -> pl.DataFrame:
        raw = answers.outputs(task, prepared.batch)
        table = answers.read(task, raw)
        table = table.rename({"id": f"{task}.id", "picture": f"{task}.picture"}, strict=False)
        return table.hstack(_tops(answers.told(task), raw, top)) if top else table

    return How(answer, {"task": task, "top": top}, batch)


def _tops(told: Any, raw: NDArray[np.float32], top: int) -> list[pl.Series]:
    """top.1, top.1.probability, top.2, …: single classes, the most probable first."""
    from workbench.tasks.classify.answer import probabilities

    names, found_nK = told["classes"], probabilities(told, raw)
    best_nk = np.argsort(-found_nK, 1, kind="stable")[:, :top]
    columns = []
    for k in range(best_nk.shape[1]):
        columns.append(pl.Series(f"top.{k + 1}", [names[i] for i in best_nk[:, k]], pl.String))
        columns.append(pl.Series(f"top.{k + 1}.probability", np.take_along_axis(found_nK, best_nk, 1)[:, k]))
    return columns
