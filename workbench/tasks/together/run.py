"""What the Together stage does: tune one network for all tasks, and measure it as each task measures its own."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from typing import Any

from workbench.artifacts.stage import Work
from workbench.recipe.schema import Finetune, Task
from workbench.tasks.runs import Run, together_of
from workbench.tasks.together.tuning import TogetherTuning, of_task
from workbench.tasks.tune import Scores, read_scores, tune
from workbench.tasks.tuned import write_answers

ALL = 1.0  # of the labels


def run_together(work: Work, tuned: Finetune) -> dict[str, Any]:
    """Tune, measure, write; the summary for the manifest."""
    rooms = {task: import_module(f"workbench.tasks.{task}.run") for task in tuned.tasks}
    prepared = {task: room.prepare(work, tuned.tasks[task]) for task, room in rooms.items()}
    section = together_of(tuned)
    run = Run("together", ALL, section.seeds[0])
    tuning = TogetherTuning(section, {task: one.tuning for task, one in prepared.items()})
    scores = tune(work, "together", tuning, [run])[run]

    results, answers = {}, {}
    for task, room in rooms.items():
        own = replace(work, folder=work.folder / task)
        own.folder.mkdir(exist_ok=True)
        runs = {run: of_task(task, scores)} | _alone(work, task, tuned.tasks[task])
        results[task], answers[task] = room.measure(own, prepared[task], runs, ())
    (work.folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False))
    write_answers(work.folder, answers)
    return {
        task: {a["arm"]: a[r["measure"]]["mean"] for a in r["arms"] if a[r["measure"]]} for task, r in results.items()
    }


def _alone(work: Work, task: str, section: Task) -> dict[Run, Scores]:
    """The scores of the task's own network on all labels, to be held against; none where it has no such run."""
    run = Run("pretrained", ALL, section.seeds[0])
    return {run: read_scores(work.inputs[task].folder / run.name)[0]} if ALL in section.label_shares else {}
