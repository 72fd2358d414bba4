"""The Fill stage: the network learns to say missing attributes, or that it doesn't know.

results.json          the `fill` section of docs/report.md; a listing of an example is {"row": its row}
scores.parquet        row, attribute and value of the test questions, and what each arm says, and how sure it is
model.safetensors, model.json, head.safetensors, answers.json   the pre-trained network tuned on the most labels
<arm>-<share>-<seed>/ each run's scores and metrics.jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Baselines, Fill


def stage(fill: Fill, baselines: Baselines, digests: Mapping[str, str]) -> Stage:
    """Fine-tuning for `fill`; `digests` holds those of the baselines' models."""

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.tasks.fill.run import run_fill  # torch and scikit-learn

        return run_fill(work, fill, baselines)

    section = {"finetune": {"fill": fill.model_dump(mode="json"), "baselines": baselines.told}}
    needs = ("ingest", "images", "duplicates", "split", "tokens", "pretrain")
    return Stage("fill", 2, section, run, needs, dict(digests))
