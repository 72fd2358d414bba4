"""JSON lines: one object a line, its numbers kept as they are written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from workbench.catalog.feeds.lines import Lines
from workbench.catalog.feeds.table import BadRow, Rows, Table, cell_text, excerpt, parse_json


def read_jsonl(path: Path, limit: int | None = None) -> Table:
    """Read a feed, or its first `limit` rows. The columns are all keys met; a row without a key has null there."""
    lines = Lines(path)
    rows = Rows([])
    places: dict[str, int] = {}
    starts: list[int] = []
    bad: list[BadRow] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if limit is not None and len(starts) + len(bad) >= limit:
            break
        try:
            row = parse_json(line.strip())
        except (ValueError, RecursionError) as error:
            bad.append(BadRow(number, "broken JSON", f"{error}: {excerpt(line)}"))
            continue
        if _SURROGATE.search(line):
            row = _whole(row)
        if not isinstance(row, dict):
            bad.append(BadRow(number, "broken JSON", f"no object in braces: {excerpt(line)}"))
            continue
        cells: list[str | None] = [None] * len(places)
        for key, value in row.items():
            if key not in places:
                places[key] = len(places)
                rows.header.append(key)
                cells.append(None)
            cells[places[key]] = cell_text(value)
        rows.add(cells)
        starts.append(number)
    return Table(rows.frame(), pl.Series("line", starts, pl.UInt32), tuple(bad), f"JSON lines, {lines.encoding}")


def _whole(value: Any) -> Any:
    """The value with U+FFFD for every escaped surrogate that lacks its other half, which is no text."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
