"""The Classify stage: the network learns a label of the listings.

results.json          the `classify` section of docs/report.md; a listing of an example is {"row": its row}
scores.parquet        row and class of the test listings, and the class that each arm puts them into
labels_dropped.csv    lines of a file of labels that were not used: line, id, reason
model.safetensors, model.json, head.safetensors, answers.json   the pre-trained network tuned on the most labels
<arm>-<share>-<seed>/ each run's scores and metrics.jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Baselines, Classify


def stage(classify: Classify, baselines: Baselines, digests: Mapping[str, str]) -> Stage:
    """Fine-tuning for `classify`; `digests` holds that of its labels' file, and of the baselines' models."""
    if classify.labels and classify.labels.exists():  # else it is where the data was pushed from
        from workbench.tasks.classify.labels import levels_of, read_file

        read_file(classify.labels, levels_of(classify))  # its errors come before the hours of pre-training

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.tasks.classify.run import run_classify  # torch and scikit-learn

        return run_classify(work, classify, baselines)

    section = {
        "finetune": {"classify": classify.model_dump(mode="json", exclude={"labels"}), "baselines": baselines.told}
    }
    needs = ("ingest", "images", "duplicates", "split", "tokens", "pretrain")
    return Stage("classify", 5, section, run, needs, dict(digests))
