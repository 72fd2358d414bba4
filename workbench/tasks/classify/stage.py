"""The Classify stage: the network learns a label of the listings.

results.json          the `classify` section of docs/report.md; a listing of an example is {"row": its row}
scores.parquet        row, part and class of the held-out listings, and the class each arm puts them into
model.safetensors, model.json, head.safetensors, classes.json   the pre-trained network tuned on the most labels
<arm>-<share>-<seed>/ each run's scores and metrics.jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Baselines, Classify


def stage(classify: Classify, baselines: Baselines, digests: Mapping[str, str]) -> Stage:
    """Fine-tuning for `classify`; `digests` holds that of its labels' file, and of the baselines' models."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.tasks.classify.run import run_classify  # torch and scikit-learn

        return run_classify(work, classify)

    section = {"finetune": {"classify": classify.model_dump(mode="json", exclude={"labels"}), "baselines": baselines.told}}
    needs = ("ingest", "images", "duplicates", "split", "tokens", "pretrain")
    return Stage("classify", 1, section, run, needs, dict(digests))
