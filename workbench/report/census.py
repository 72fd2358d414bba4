"""The Census stage: a catalog counted and shown, before any training.

census.json     the content of the page; its fields are those of `data` in docs/report.md
catalog.html    the page
fixes.csv       what to fix in the feed, a line for each row, worst problem first
certificate.json, drops.csv   as the split and ingest wrote them, to lie beside the page
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Recipe
from workbench.report.places import names

NEEDS = ("ingest", "images", "duplicates", "split")


def stage(recipe: Recipe) -> Stage:
    """The census of a recipe's catalog."""
    report = recipe.report
    feeds = names(recipe.catalog.feeds)
    section = {"name": recipe.name, "feeds": feeds, "report": report.model_dump(mode="json", include={"examples"})}

    def run(work: Work) -> Mapping[str, Any]:
        from workbench.report.counts import count  # polars and Pillow
        from workbench.report.page import render_catalog

        counts = count(work.inputs, feeds, report.examples)
        page = render_catalog(recipe.name, counts.content, counts.shelf.pictures)
        (work.folder / "census.json").write_text(json.dumps(counts.content, indent=1, ensure_ascii=False), "utf-8")
        (work.folder / "catalog.html").write_text(page, "utf-8")
        counts.fixes.write_csv(work.folder / "fixes.csv")
        shutil.copyfile(work.inputs["split"].path("certificate.json"), work.folder / "certificate.json")
        shutil.copyfile(work.inputs["ingest"].path("drops.csv"), work.folder / "drops.csv")
        return {"fix first": "; ".join(f"{f['problem']} ({f['listings']:,})" for f in counts.content["fixes"][:5])}

    return Stage("census", 3, section, run, NEEDS)
