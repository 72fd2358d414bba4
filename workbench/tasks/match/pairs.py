"""Pairs of listings from a file: left, right, match; which part each pair is in, and why some are not used."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.errors import DataError

COLUMNS = ("left", "right", "match")
DROPPED = {"line": pl.Int64, "left": pl.String, "right": pl.String, "reason": pl.String}
NONE_DROPPED = pl.DataFrame(schema=DROPPED)


@dataclass(frozen=True)
class Pairs:
    """Pairs in the order of their file."""

    rows: NDArray[np.int64]  # (n, 2) rows of the left and the right listing
    match: NDArray[np.bool_]  # (n,) whether they are the same product
    part: NDArray[np.str_]  # (n,) train, valid or test: that of both listings

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, part: str) -> Pairs:
        """The pairs of one part."""
        chosen = self.part == part
        return Pairs(self.rows[chosen], self.match[chosen], self.part[chosen])


def read_pairs(path: Path, items: pl.DataFrame) -> tuple[Pairs, pl.DataFrame]:
    """The usable pairs, and a table of the others: line, left, right, reason.

    Raises DataError for a file without the three columns, a line that lacks one, or a match that is neither 1 nor 0.
    """
    rows = dict(zip(items["id"], items["row"], strict=True))
    parts = items["part"].to_list()
    seen: dict[tuple[int, int], bool] = {}
    kept: list[tuple[int, int, bool, str]] = []
    dropped: list[tuple[int, str, str, str]] = []
    for line, left_id, right_id, match in _lines(path):
        left, right = rows.get(left_id), rows.get(right_id)
        if left is None or right is None:
            reason = "unknown id"
        elif left == right:
            reason = "a listing with itself"
        elif parts[left] is None or parts[right] is None:
            reason = "left out of the split"
        elif parts[left] != parts[right]:
            reason = "crosses the split"
        elif (pair := (min(left, right), max(left, right))) in seen:
            reason = "duplicate" if seen[pair] == match else "contradicts an earlier line"
        else:
            seen[pair] = match
            kept.append((left, right, match, parts[left]))
            continue
        dropped.append((line, left_id, right_id, reason))
    lefts, rights, matches, of_part = zip(*kept, strict=True) if kept else ((), (), (), ())
    rows_n2 = np.array([lefts, rights], np.int64).T
    table = pl.DataFrame(dropped, DROPPED, orient="row")
    return Pairs(rows_n2, np.array(matches, bool), np.array(of_part, np.str_)), table


def check_pairs(path: Path) -> None:
    """Raises the DataErrors of `read_pairs` that need no catalog."""
    for _ in _lines(path):
        pass


def _lines(path: Path) -> Iterator[tuple[int, str, str, bool]]:
    """Line in the file, left, right and match of each pair."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [word.strip() for word in next(reader, [])]
            missing = [name for name in COLUMNS if name not in header]
            if missing:
                found = ", ".join(header) or "an empty file"
                raise DataError(f"{path}, line 1: no column {missing[0]!r}; expected left, right, match, found {found}")
            places = [header.index(name) for name in COLUMNS]
            for cells in reader:
                if not any(map(str.strip, cells)):
                    continue
                where = f"{path}, line {reader.line_num}"
                if len(cells) <= max(places):
                    raise DataError(f"{where}: {len(cells)} cells; expected the header's {len(header)}")
                left, right, match = (cells[place].strip() for place in places)
                if match not in ("0", "1"):
                    raise DataError(f"{where}, column match: found {match!r}; expected 1 (the same product) or 0")
                yield reader.line_num, left, right, match == "1"
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save the pairs as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; expected CSV") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; correct finetune.match.pairs in the recipe") from None
