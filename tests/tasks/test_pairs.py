"""Every pair is kept or dropped for one reason; a file that is none is told by its line."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from workbench.errors import DataError
from workbench.recipe.schema import Baselines, Match
from workbench.tasks.match.pairs import read_pairs
from workbench.tasks.match.stage import stage

ITEMS = pl.DataFrame(
    {"row": range(7), "id": ["a", "b", "c", "007", "e", "f", "g"], "part": ["train"] * 4 + ["test", "test", None]},
    {"row": pl.UInt32, "id": pl.String, "part": pl.String},
)
FILE = """\ufeffmatch,note,right,left
1,x,b,a
0,,007,c
0,,7,c
1,,a,a
1,,e,a
1,,a,b
0,"two
lines",b,a

0,,f,e
1,,g,a
"""


def test_each_pair_is_kept_or_has_one_reason(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(FILE)
    pairs, dropped = read_pairs(path, ITEMS)
    assert pairs.rows.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert pairs.match.tolist() == [True, False, False]
    assert pairs.part.tolist() == ["train", "train", "test"]
    assert dropped.rows() == [
        (4, "c", "7", "unknown id"),
        (5, "a", "a", "a listing with itself"),
        (6, "a", "e", "crosses the split"),
        (7, "b", "a", "duplicate"),
        (9, "a", "b", "contradicts an earlier line"),
        (12, "a", "g", "left out of the split"),
    ]
    assert len(pairs) + dropped.height == 9
    assert pairs.of("test").rows.tolist() == [[4, 5]] and len(pairs.of("valid")) == 0


def test_no_pair_at_all_is_no_error_of_reading(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("left,right,match\n")
    pairs, dropped = read_pairs(path, ITEMS)
    assert len(pairs) == dropped.height == 0 and pairs.rows.shape == (0, 2) and pairs.rows.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left,right\na,b\n", "line 1: no column 'match'; expected left, right, match, found left, right"),
        ("", "line 1: no column 'left'; expected left, right, match, found an empty file"),
        ("left,right,match\na,b,1\na,c,yes\n", "line 3, column match: found 'yes'; expected 1 (the same product) or 0"),
        ("left,right,match\na,b\n", "line 2: 2 cells; expected the header's 3"),
    ],
)
def test_a_bad_file_is_told_by_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_pairs(path, ITEMS)
    assert str(error.value) == f"{path}, {message}"


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: No such file .*finetune.match.pairs"):
        read_pairs(tmp_path / "none.csv", ITEMS)
    (tmp_path / "latin.csv").write_bytes("left,right,match\né,b,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_pairs(tmp_path / "latin.csv", ITEMS)


def test_a_bad_file_is_told_when_the_stage_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("left,right,match\na,b,1\na,c,yes\n")
    with pytest.raises(DataError, match="line 3, column match: found 'yes'"):
        stage(Match(pairs=path), Baselines(), {})
