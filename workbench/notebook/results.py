"""What a run made: artifacts, their tables and figures, the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from workbench.artifacts.store import Artifact
from workbench.errors import DataError
from workbench.images.shard import Shards
from workbench.notebook import show
from workbench.notebook.show import Card
from workbench.report.shelf import THUMBNAIL, png, title_of

PAGES = ("census", "report", "audit")  # stages whose pages are published
FILES = {"report": "report.html", "census": "catalog.html", "audit": "audit.html"}
TASKS = ("match", "classify", "retrieve", "fill")
SAMPLE = 12  # listings shown


class Result:
    """An artifact: what a stage made."""

    def __init__(self, artifact: Artifact, others: Mapping[str, Artifact]) -> None:
        self.artifact, self._others = artifact, others

    @property
    def folder(self) -> Path:
        return self.artifact.folder

    @property
    def figures(self) -> Mapping[str, Any]:
        """Its summary: counts, and of trainings the last values of what was measured."""
        return self.artifact.summary

    @property
    def files(self) -> list[str]:
        return sorted(self.artifact.files)

    def read(self, name: str) -> Any:
        """A file of it: of .parquet and .csv a DataFrame, of .json its values, of others the path."""
        if name not in self.artifact.files:
            raise DataError(f"{self.artifact.stage} has no file {name}; it has {', '.join(self.files[:20])}")
        path = self.artifact.path(name)
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False)
        return json.loads(path.read_text("utf-8")) if path.suffix == ".json" else path

    @cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Its Parquet tables by name, as `tables["items"]`."""
        names = [name for name in self.files if name.endswith(".parquet")]
        return {name.removesuffix(".parquet"): self.read(name) for name in names}

    def __repr__(self) -> str:
        return f"Result({self.artifact.stage} {self.artifact.key[:8]}, files={self.files[:8]})"

    def _repr_html_(self) -> str:
        said = {name: value for name, value in self.figures.items() if isinstance(value, str | int | float)}
        sample = _sample({**self._others, self.artifact.stage: self.artifact})
        return show.facts(f"{self.artifact.stage} {self.artifact.key[:8]}", said, sample)


class Results(Mapping[str, Result]):
    """What a run made, by stage: `results["ingest"]`."""

    def __init__(self, name: str, artifacts: Mapping[str, Artifact], folder: Path) -> None:
        self.name, self._artifacts, self._folder = name, artifacts, folder

    def __getitem__(self, stage: str) -> Result:
        return Result(self._artifacts[stage], self._artifacts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._artifacts)

    def __len__(self) -> int:
        return len(self._artifacts)

    def page(self, stage: str) -> Path | None:
        """The published page of report, census or audit; None where that was no goal."""
        return self._folder / FILES[stage] if stage in self._artifacts else None

    @property
    def report(self) -> Path | None:
        """The report's HTML file."""
        return self.page("report")

    @cached_property
    def figures(self) -> Mapping[str, Any]:
        """Every number of the report (docs/report.md); empty where it was no goal."""
        found: Mapping[str, Any] = self["report"].read("report.json") if "report" in self else {}
        return found

    @cached_property
    def scores(self) -> pl.DataFrame:
        """What each arm of each task reached on the test part: task, arm, share of the labels, measure, mean, and its
        95% interval from low to high."""
        rows = [
            {"task": task, "arm": arm["arm"], "share": arm.get("share"), "measure": name, **_interval(value)}
            for task in TASKS
            if task in self
            for arm in self[task].read("results.json")["arms"]
            for name, value in arm.items()
            if isinstance(value, Mapping) and {"mean", "low", "high"} <= value.keys()
        ]
        schema = {"task": pl.String, "arm": pl.String, "share": pl.Float64, "measure": pl.String}
        return pl.DataFrame(rows, {**schema, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64})

    @property
    def _judges(self) -> dict[str, str]:
        """Task -> the measure by which its arms are judged."""
        return {task: self[task].read("results.json")["measure"] for task in TASKS if task in self}

    def __repr__(self) -> str:
        return f"Results({self.name!r}, {', '.join(self._artifacts)})"

    def _repr_html_(self) -> str:
        said: dict[str, Any] = {"stages": ", ".join(self._artifacts)}
        if self.report:
            said["report"] = str(self.report)
        judged = [pl.col("measure") == measure for measure in self._judges.values()]
        scores = self.scores.filter(pl.any_horizontal(*judged)) if judged else self.scores
        told = show.table("on the test part", scores.columns, scores.rows()) if scores.height else ""
        return show.facts(f"Results of {self.name}", said, told + _sample(self._artifacts))


def _interval(value: Mapping[str, float]) -> dict[str, float]:
    return {name: value[name] for name in ("mean", "low", "high")}


def _sample(artifacts: Mapping[str, Artifact]) -> str:
    """Listings spread over the catalog, with their pictures where these are made."""
    if "ingest" not in artifacts:
        return ""
    items = pl.scan_parquet(artifacts["ingest"].path("items.parquet"))
    if "split" in artifacts:
        parts = pl.scan_parquet(artifacts["split"].path("split.parquet")).select("row", "part")
        items = items.join(parts, on="row", how="left")
    count = int(items.select(pl.len()).collect().item())
    some = items.filter(pl.col("row") % max(1, count // SAMPLE) == 0).sort("row").head(SAMPLE).collect()
    shards = _shards(artifacts)
    shown = [
        Card(line["id"], title_of(line), _picture(shards, line["row"]), _texts(line))
        for line in some.iter_rows(named=True)
    ]
    return show.cards(f"{len(shown)} of {count:,} listings", shown, len(shown))


def _shards(artifacts: Mapping[str, Artifact]) -> Shards | None:
    if "images" not in artifacts or artifacts["images"].streamed:
        return None
    states = artifacts["duplicates"].path("pictures.parquet") if "duplicates" in artifacts else None
    return Shards(artifacts["images"].folder, states)


def _picture(shards: Shards | None, row: int) -> bytes | None:
    return png(shards.image(row), THUMBNAIL) if shards and shards.usable[row] else None


def _texts(line: Mapping[str, Any]) -> dict[str, Any]:
    """Labels and the part; texts, shortened."""
    found = {name.partition(".")[2]: line[name] for name in line if name.startswith(("label.", "text.")) and line[name]}
    short = {name: text if len(text) <= 80 else f"{text[:79]}…" for name, text in found.items()}
    return short | ({"part": line["part"]} if "part" in line else {})
