"""Where labels come from: the feed's columns, or a file of ids and labels. What can't be used is counted and listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.catalog.feeds.read import read_feed
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError
from workbench.recipe.schema import Classify

DROPPED = {"line": pl.Int64, "id": pl.String, "reason": pl.String}
KEY = "finetune.classify.labels"


@dataclass(frozen=True)
class Labels:
    """The labels of the catalog's listings."""

    cells: pl.DataFrame  # a line for each listing, a column for each level; null where empty
    dropped: pl.DataFrame  # DROPPED: what a file says that isn't used, and why

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """reason, count of what isn't used; the most frequent first."""
        counted = self.dropped.group_by("reason").len("count")
        return counted.sort("count", "reason", descending=[True, False]).to_dicts()


def levels_of(classify: Classify) -> tuple[str, ...]:
    """Names of the labels, from the widest to the narrowest."""
    return (classify.label,) if isinstance(classify.label, str) else tuple(classify.label)


def read_labels(classify: Classify, items: pl.DataFrame) -> Labels:
    """Raises DataError where there are no such labels."""
    levels = levels_of(classify)
    if classify.labels is None:
        for level in levels:
            _check_fed(level, items.columns)
        return Labels(
            items.select(_cell(f"label.{level}").alias(level) for level in levels), pl.DataFrame(schema=DROPPED)
        )
    return _joined(read_file(classify.labels, levels), items, levels)


def _check_fed(label: str, columns: list[str]) -> None:
    if f"label.{label}" in columns:
        return
    known = ", ".join(c.removeprefix("label.") for c in columns if c.startswith("label."))
    raise DataError(
        f"finetune.classify.label: no feed has a label {label!r}; "
        + (f"the labels are: {known}" if known else "name its column in catalog.feeds.columns.labels")
    )


def read_file(path: Path, levels: tuple[str, ...]) -> Table:
    """The rows of a file of labels, of any format that a feed may have. Raises DataError, naming file and column."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{KEY}: {path}: {found}; expected a CSV file with the columns id, {', '.join(levels)}")
    table = read_feed(path)
    for name in ("id", *levels):
        if name not in table.cells.columns:
            raise DataError(
                f"{path}, line 1: no column {name!r}; expected id, {', '.join(levels)}, found "
                f"{', '.join(table.cells.columns) or 'an empty file'}"
            )
    return table


def _joined(table: Table, items: pl.DataFrame, levels: tuple[str, ...]) -> Labels:
    """Each listing's first line of the file; `dropped` has all others."""
    names = [f"label.{level}" for level in levels]  # a label may be called "line"
    cells = [_cell(level).alias(name) for level, name in zip(levels, names, strict=True)]
    lines = table.cells.select(_cell("id"), *cells, line=table.lines.cast(pl.Int64))
    lines = lines.join(items.select("id", "row"), on="id", how="left", maintain_order="left")
    usable = pl.col("row").is_not_null() & ~pl.all_horizontal(pl.col(names).is_null())
    said = pl.concat_str(pl.col(names).fill_null(""), separator="\0")
    reasons = [
        (pl.col("id").is_null(), "no id"),
        (pl.col("row").is_null(), "unknown id"),
        (~usable, "no label"),
        (usable.cum_sum().over("id") == 1, None),
        (said == said.filter(usable).first().over("id"), "duplicate"),
    ]
    reason = pl.coalesce(pl.when(applies).then(pl.lit(why or "")) for applies, why in reasons)
    lines = lines.with_columns(reason=reason.fill_null("contradicts an earlier line"))
    used = lines.filter(pl.col("reason") == "")
    unread = pl.DataFrame([(bad.line, None, f"not read: {bad.reason}") for bad in table.bad], DROPPED, orient="row")
    dropped = pl.concat([unread, lines.filter(pl.col("reason") != "").select(DROPPED.keys())])
    found = items.select("row").join(used.select("row", *names), on="row", how="left", maintain_order="left")
    return Labels(found.select(names).rename(dict(zip(names, levels, strict=True))), dropped.sort("line"))


def _cell(column: str) -> pl.Expr:
    """Runs of white space are one space, and nothing is null."""
    text = pl.col(column).str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(text != "").then(text)
