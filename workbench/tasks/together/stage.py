"""The Together stage: one encoder with a head for each of the recipe's tasks, trained on all of their labels.

results.json          task -> its section, as that of the task's own stage, of the arm "together", beside "pretrained",
                      the task's own network, where that learned from all labels, too
model.safetensors, model.json, head.safetensors, answers.json   the network, its heads, and what they say
<task>/               what the task's own stage writes beside these, as scores.parquet
together-1-<seed>/    the run's scores and metrics.jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Finetune

_PATHS = {"match": {"pairs"}, "classify": {"labels"}, "retrieve": {"pairs"}}


def stage(tuned: Finetune, digests: Mapping[str, str]) -> Stage:
    """Fine-tuning for all tasks of `tuned`; `digests` holds those of their files."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.tasks.together.run import run_together  # torch and scikit-learn

        return run_together(work, tuned)

    section = {name: task.model_dump(mode="json", exclude=_PATHS.get(name)) for name, task in tuned.tasks.items()}
    needs = ("ingest", "images", "duplicates", "split", "tokens", "pretrain", *tuned.tasks)
    return Stage("together", 3, {"finetune": section}, run, needs, dict(digests))
