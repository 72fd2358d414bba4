"""The Report stage: everything that was made -> report.html and report.json (docs/report.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Recipe, Report
from workbench.recipe.secrets import without_password
from workbench.report import census


def stage(report: Report, recipe: Recipe, digests: Mapping[str, str]) -> Stage:
    """The report of a whole recipe. It shows times where they are known, so that its bytes differ between runs."""
    tasks = (*recipe.finetune.tasks, *(["together"] if recipe.finetune.together else []))
    shown = _shown(recipe.model_dump(exclude={"runtime"}))
    return Stage(
        name="report",
        version=3,
        section=shown,
        needs=(*census.NEEDS, "tokens", "pretrain", *tasks, "probes"),
        sources=dict(digests),
        run=lambda work: _run(work, report, recipe, shown),
    )


def _shown(value: Any) -> Any:
    """A recipe's values as plain ones; of a path only the name, which is the same on every machine; no password."""
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(inner) for inner in value]
    if isinstance(value, str):
        return without_password(value)
    return value.name if isinstance(value, Path) else value


def _run(work: Work, report: Report, recipe: Recipe, shown: dict[str, Any]) -> Mapping[str, Any]:
    from workbench.recipe.load import to_yaml
    from workbench.report.assemble import assemble
    from workbench.report.page import render
    from workbench.report.verdict import findings

    content, pictures = assemble(work, report, recipe)
    content["recipe"] = to_yaml(shown)
    (work.folder / "report.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), "utf-8"
    )
    (work.folder / "report.html").write_text(render(content, pictures), "utf-8")
    return {finding.question: finding.answer for finding in findings(content)}
