"""What is known of each web address: the lines of `fetched.parquet`, and the journal that a killed run leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

SCHEMA = {
    "url": pl.String,
    "state": pl.String,
    "reason": pl.String,
    "sha256": pl.String,
    "bytes": pl.UInt64,
    "type": pl.String,
    "etag": pl.String,
    "modified": pl.String,
    "final_url": pl.String,
}


@dataclass(frozen=True)
class Result:
    """What became of one web address: a line of `fetched.parquet`."""

    url: str  # as the feed writes it
    state: str  # "fetched", "absent" (not to be had) or "broken" (what came is no picture)
    reason: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    type: str | None = None  # by the first bytes; "unknown" is left to the images stage
    etag: str | None = None
    modified: str | None = None  # Last-Modified, as the server writes it
    final_url: str | None = None  # after redirects


class Journal:
    """Results as they come, one JSON line each, so that a killed run fetches none of them again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results = {result.url: result for result in self._read()}
        self._file = path.open("a")

    def _read(self) -> Iterator[Result]:
        if not self._path.exists():
            return
        whole, _, torn = self._path.read_bytes().rpartition(b"\n")
        if torn:  # the line that a kill cut off
            with self._path.open("r+b") as file:
                file.truncate(len(whole) + (1 if whole else 0))
        for line in whole.splitlines():
            yield Result(**json.loads(line))

    def add(self, result: Result) -> None:
        self.results[result.url] = result
        self._file.write(json.dumps(vars(result)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def as_table(results: Sequence[Result]) -> pl.DataFrame:
    return pl.DataFrame([vars(result) for result in results], SCHEMA)


def as_results(table: pl.DataFrame) -> dict[str, Result]:
    """The results of a table by web address."""
    lines: Iterator[dict[str, Any]] = table.select(*SCHEMA).iter_rows(named=True)
    return {line["url"]: Result(**line) for line in lines}
