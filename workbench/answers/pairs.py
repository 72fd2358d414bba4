"""`mlim predict` of a model of matches: how probable given pairs are, or the products that a feed's listings are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.answers.answers import Answers
from workbench.answers.feeds import DROPS, PART, Part
from workbench.answers.index import POINT, index_of, nearest, usearch
from workbench.answers.listing import Listing
from workbench.answers.out import stamp
from workbench.answers.preparation import Prepared
from workbench.answers.run import BATCH, Answer, Frames, How
from workbench.catalog.feeds.read import open_feed
from workbench.errors import DataError

NEIGHBOURS = 20  # of each listing, that may be the same product
AT_ONCE = 4096  # listings whose neighbours are looked for together


def matching(answers: Answers, pairs: Path, batch: int = BATCH) -> How:
    """A line for each line of `pairs`, a file of any format with columns left and right that hold ids: left, right,
    probability, match, and why there is no answer. Raises DataError for a file without the two.

    A model that has learnt to reads both listings of a pair together; any other compares points.
    """
    named = {i for lines in _pairs(pairs) for i in (*lines["left"], *lines["right"])}  # its errors first
    if answers.cross:
        return _reading(answers, pairs, named, batch)

    def then(frames: Frames) -> Iterator[pl.DataFrame]:
        points = pl.concat(frame.filter(pl.col("id").is_in(named)) for frame in frames())
        points = points.unique("id", keep="first", maintain_order=True)
        row_of = dict(zip(points["id"], range(len(points)), strict=True))
        points_nD = _array(points)
        return (_matched(answers, lines, row_of, points_nD) for lines in _pairs(pairs))

    return How(_placing(answers), {"points": "match"}, batch, then=then, empty="drop")


def clustering(answers: Answers, batch: int = BATCH) -> How:
    """A line for each listing: id, cluster (the id of its first listing), listings of the cluster, connected (see
    tasks/match/clusters.py). Each listing is compared with its NEIGHBOURS nearest."""
    usearch()

    def then(frames: Frames) -> Iterator[pl.DataFrame]:
        from workbench.tasks.match.clusters import cluster

        table = pl.concat(frames())
        points_nD = _array(table)
        left_n, right_n = _candidates(points_nD)
        probability_n = answers.match(points_nD[left_n], points_nD[right_n])
        found = cluster(len(table), left_n, right_n, probability_n, threshold(answers.told("match"), "clusters"))
        yield found.table(table["id"]).insert_column(1, table["picture"])

    return How(_placing(answers), {"points": "match"}, batch, then=then, empty="drop")


def threshold(told: Mapping[str, Any], of: str = "threshold") -> float:
    """The probability from which on a pair is called a match; 1/2 where none reached the wanted precision."""
    found = next((told[name] for name in (of, "threshold") if told.get(name) is not None), 0.5)
    return float(found)


def _placing(answers: Answers) -> Answer:
    def answer(prepared: Prepared) -> pl.DataFrame:
        points_BD = answers.outputs("match", prepared.batch)
        return pl.DataFrame({POINT: pl.Series(points_BD, dtype=pl.Array(pl.Float32, points_BD.shape[1]))})

    return answer


def _pairs(path: Path) -> Iterator[pl.DataFrame]:
    """left and right, as ids are."""
    for table in open_feed(path):
        if missing := {"left", "right"} - set(table.cells.columns):
            found = ", ".join(table.cells.columns)
            raise DataError(
                f"{path}: no column {min(missing)!r}; expected left and right (ids of the feed), found {found}"
            )
        yield table.cells.select(pl.col("left", "right").str.strip_chars())


def _matched(
    answers: Answers, lines: pl.DataFrame, row_of: dict[str, int], points_nD: NDArray[np.float32]
) -> pl.DataFrame:
    sides = [np.array([row_of.get(i, -1) for i in lines[side]], np.int64) for side in ("left", "right")]
    known_n = (sides[0] >= 0) & (sides[1] >= 0)
    probability = pl.Series("probability", [None] * len(lines), pl.Float64)
    if known_n.any():
        found_n = answers.match(*(points_nD[side[known_n]] for side in sides))
        probability = probability.scatter(np.flatnonzero(known_n), found_n)
    lost = pl.Series(sides[0] < 0), pl.Series(sides[1] < 0)
    return _told(lines.with_columns(probability), *lost, threshold(answers.told("match")))


def _told(lines: pl.DataFrame, no_left: pl.Series, no_right: pl.Series, least: float) -> pl.DataFrame:
    """left, right and probability with match, and why there is no answer."""
    lost = pl.when(no_left & no_right).then(pl.lit("left and the right")).when(no_left).then(pl.lit("left"))
    why = pl.format("no listing to read of the {} id", lost.when(no_right).then(pl.lit("right")))
    return lines.with_columns(match=pl.col("probability") >= least, why=why)


def _reading(answers: Answers, pairs: Path, named: set[str], batch: int) -> How:
    """The same by a network that reads both listings together. Those that are named are held in memory, but for their
    pictures; each pair is a listing and the next, and of one that isn't there there is nothing to read."""

    def arrange(parts: Iterator[Part]) -> Iterator[Part]:
        held: dict[str, Listing] = {}
        for listing in (each for part in parts for each in part.listings if each.id in named):
            held.setdefault(listing.id, listing)
        for lines in (some for table in _pairs(pairs) for some in table.iter_slices(PART // 2)):
            both = [held.get(i) or Listing(i) for line in lines.iter_rows() for i in line]
            nowhere = pl.DataFrame({"file": [""] * len(both), "line": [0] * len(both)}, schema_overrides=DROPS)
            yield Part(both, nowhere, pl.DataFrame(schema=DROPS), 0)

    def answer(prepared: Prepared) -> pl.DataFrame:
        left_n = np.arange(0, len(prepared.batch), 2)
        return pl.DataFrame({"probability": answers.match_read(prepared.batch, left_n, left_n + 1).repeat(2)})

    def then(frames: Frames) -> Iterator[pl.DataFrame]:
        for frame in frames():
            left, right = frame.gather_every(2), frame.gather_every(2, 1)
            lost = left["probability"].is_null(), right["probability"].is_null()
            probability = left["probability"].set(lost[1], None)
            lines = pl.DataFrame({"left": left["id"], "right": right["id"], "probability": probability})
            yield _told(lines, *lost, threshold(answers.of_pairs))

    of = {"pairs": [list(line) for line in stamp([pairs])]}
    return How(answer, of, batch + batch % 2, arrange=arrange, then=then)


def _candidates(points_nD: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of neighbours, each once, left < right."""
    starts = range(0, len(points_nD), AT_ONCE)
    index, found = index_of(points_nD.shape[1], (points_nD[start : start + AT_ONCE] for start in starts)), []
    for start in starts:
        keys_nk, _ = nearest(index, points_nD[start : start + AT_ONCE], NEIGHBOURS + 1)
        own_nk = np.broadcast_to(np.arange(start, start + len(keys_nk))[:, None], keys_nk.shape)
        found.append(np.stack([np.minimum(own_nk, keys_nk).ravel(), np.maximum(own_nk, keys_nk).ravel()], 1))
    pairs_n2 = np.unique(np.concatenate([np.empty((0, 2), np.int64), *found]), axis=0)
    pairs_n2 = pairs_n2[pairs_n2[:, 0] < pairs_n2[:, 1]]
    return pairs_n2[:, 0], pairs_n2[:, 1]


def _array(points: pl.DataFrame) -> NDArray[np.float32]:
    width = points.schema[POINT].shape[0]  # type: ignore[attr-defined]
    points_nD: NDArray[np.float32] = points[POINT].to_numpy().reshape(-1, width)
    return points_nD
