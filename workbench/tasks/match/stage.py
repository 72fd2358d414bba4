"""The Match stage: the network learns from pairs whether two listings are the same product.

results.json          the `match` section of docs/report.md; a listing of an example is {"row": its row}
scores.parquet        left, right, match, part of the held-out pairs, whether both listings have both a text and a
                      picture, and the probability that each arm gives them, by its share and reading
pairs_dropped.csv     pairs that were not used: line, left, right, reason
model.safetensors, model.json, head.safetensors   the pre-trained network tuned on the most labels, first seed
answers.json          what its log odds mean (answer.py)
cross/                the same of the cross-encoder, if there is one
<arm>-<share>-<seed>/ each run's scores and metrics.jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Baselines, Match
from workbench.tasks.match.pairs import check_pairs


def stage(match: Match, baselines: Baselines, digests: Mapping[str, str]) -> Stage:
    """Fine-tuning for `match`; `digests` holds that of its pairs, and of the baselines' models."""
    if match.pairs:
        check_pairs(match.pairs)  # before the hours of pre-training

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.tasks.match.run import run_match  # torch and scikit-learn

        return run_match(work, match, baselines)

    section = {"finetune": {"match": match.model_dump(mode="json", exclude={"pairs"}), "baselines": baselines.told}}
    needs = ("ingest", "images", "duplicates", "split", "tokens", "pretrain")
    return Stage("match", 2, section, run, needs, dict(digests))
