"""The Retrieve stage: the network learns to find the listings that belong to a text, a picture or both.

results.json          the `retrieve` section of docs/report.md; a listing of an example is {"row": its row}
ranks.parquet         kind of query, row of the query, arm, place of the first right answer
pairs_dropped.csv     where relevance is given by pairs: those that were not used, as in the Match stage
model.safetensors, model.json, head.safetensors, answers.json   the pre-trained network tuned on the most labels
<arm>-<share>-<seed>/ each run's scores and metrics.jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Baselines, Retrieve
from workbench.tasks.match.pairs import check_pairs


def stage(retrieve: Retrieve, baselines: Baselines, digests: Mapping[str, str]) -> Stage:
    """Fine-tuning for `retrieve`; `digests` holds that of its pairs, and of the baselines' models."""
    if retrieve.pairs:
        check_pairs(retrieve.pairs)  # before the hours of pre-training

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.tasks.retrieve.run import run_retrieve  # torch and scikit-learn

        return run_retrieve(work, retrieve, baselines)

    section = {
        "finetune": {"retrieve": retrieve.model_dump(mode="json", exclude={"pairs"}), "baselines": baselines.told}
    }
    needs = ("ingest", "images", "duplicates", "split", "tokens", "pretrain")
    return Stage("retrieve", 1, section, run, needs, dict(digests))
