"""From the cells of labels to classes: the paths of a hierarchy, several in a cell, and what becomes of rare ones.

A class is a path from the widest level to the narrowest; where labels are no hierarchy it has one step. A path with an
empty level is agreed with by every class that has its other steps. The classes are those of the training listings,
sorted by name: neither their names nor their order depend on the order of the feed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.recipe.schema import Rare

OTHER = "other (rare)"
Path = tuple[str | None, ...]
Truth = tuple[Path, ...]  # what a listing is said to be: one path, or several; none without a label


@dataclass(frozen=True)
class Target:
    """What is to be learnt of each listing."""

    levels: tuple[str, ...]  # names of the labels
    several: str | None  # what parts the classes in a cell
    paths: tuple[Path, ...]  # K classes
    truths: tuple[Truth, ...]  # T distinct ones
    holds_TK: NDArray[np.bool_]  # the classes of a truth (or that agree with it); none: no training listing has them
    truth_N: NDArray[np.int64]  # each listing's truth; -1 without a label
    rare: tuple[Path, ...]  # classes of fewer training listings than wanted, as they were
    rare_N: NDArray[np.bool_]  # listings that have one

    @property
    def classes(self) -> list[str]:
        return [name_of(path) for path in self.paths]

    @property
    def exact_T(self) -> NDArray[np.bool_]:
        """Truths that are one class."""
        classes = set(self.paths)
        return np.array([len(truth) == 1 and truth[0] in classes for truth in self.truths], np.bool_)

    @property
    def learnable_N(self) -> NDArray[np.bool_]:
        """Listings from which a class can be learnt."""
        learnable_N: NDArray[np.bool_] = np.append(self.holds_TK.any(1), False)[self.truth_N]
        return learnable_N


def name_of(path: Path) -> str:
    """For people: "home > lamps"."""
    return " > ".join("?" if step is None else step for step in path)


def target_of(cells: pl.DataFrame, train_N: NDArray[np.bool_], several: str | None, rare: Rare) -> Target:
    """`cells` has a line for each listing and a column for each level, null where empty."""
    kind_N, kinds = _distinct(cells)
    levels = cells.columns
    trained = np.bincount(kind_N[train_N], minlength=len(kinds)).tolist()
    told = [_truth(row, several) for row in kinds.iter_rows()]
    sizes = _sizes(told, trained)
    inner = _inner(sizes)
    few = {p for truth in told for p in truth if None not in p and p not in inner and sizes[p] < rare.fewer_than}
    after = [_without_rare(truth, few, rare) for truth in told]
    sizes = _sizes(after, trained)
    paths = tuple(sorted(p for p in sizes.keys() - _inner(sizes) if sizes[p] and None not in p))
    truths = tuple(dict.fromkeys(truth for truth in after if truth))
    place: dict[Truth, int] = {truth: i for i, truth in enumerate(truths)}
    holds_TK = _listed(truths, paths) if several else _agreeing(truths, paths, len(levels))
    truth_N = np.array([place.get(truth, -1) for truth in after], np.int64)[kind_N]
    rare_N = np.array([not few.isdisjoint(truth) for truth in told], np.bool_)[kind_N]
    return Target(tuple(levels), several, paths, truths, holds_TK, truth_N, tuple(sorted(few, key=name_of)), rare_N)


def _distinct(cells: pl.DataFrame) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """(N,) the number of each line among the distinct ones, which are sorted."""
    cells = cells.rename({name: f"level {i}" for i, name in enumerate(cells.columns)})
    kinds = cells.unique().sort(cells.columns)
    numbers = kinds.with_row_index("kind")
    joined = cells.join(numbers, on=cells.columns, how="left", nulls_equal=True, maintain_order="left")
    return joined["kind"].to_numpy().astype(np.int64), kinds


def _truth(cells: Sequence[str | None], several: str | None) -> Truth:
    if several:
        words = ((cells[0] or "").split(several)) if cells else []
        return tuple((word,) for word in sorted({" ".join(w.split()) for w in words} - {""}))
    length = max((i + 1 for i, cell in enumerate(cells) if cell is not None), default=0)
    return (tuple(cells[:length]),) if length else ()


def _sizes(truths: Iterable[Truth], trained: Iterable[int]) -> Counter[Path]:
    """Training listings of each path."""
    sizes: Counter[Path] = Counter()
    for truth, count in zip(truths, trained, strict=True):
        for path in truth:
            sizes[path] += count
    return sizes


def _inner(sizes: Counter[Path]) -> set[Path]:
    """What lies above a path of some training listing."""
    return {path[:end] for path, count in sizes.items() if count for end in range(1, len(path))}


def _without_rare(truth: Truth, few: set[Path], rare: Rare) -> Truth:
    """A rare class grouped with others below the same step, or left out: what is above it stays."""
    if rare.then == "keep" or few.isdisjoint(truth):
        return truth
    end: Path = (OTHER,) if rare.then == "group" else ()
    changed = {(*path[:-1], *end) if path in few else path for path in truth}
    return tuple(sorted(changed - {()}, key=name_of))


def _listed(truths: Sequence[Truth], paths: Sequence[Path]) -> NDArray[np.bool_]:
    place = {path: k for k, path in enumerate(paths)}
    holds_TK = np.zeros((len(truths), len(paths)), np.bool_)
    for t, truth in enumerate(truths):
        holds_TK[t, [place[path] for path in truth if path in place]] = True
    return holds_TK


def _agreeing(truths: Sequence[Truth], paths: Sequence[Path], levels: int) -> NDArray[np.bool_]:
    """(T, K) where each step of a truth that is told is also the class's."""
    holds_TK = np.ones((len(truths), len(paths)), np.bool_)
    for level in range(levels):
        told = [truth[0][level] if len(truth[0]) > level else None for truth in truths]
        steps = [path[level] if len(path) > level else None for path in paths]
        _, places = np.unique(np.array([step or "" for step in [*told, *steps]], np.str_), return_inverse=True)
        told_T1, steps_K = places[: len(told), None], places[len(told) :]
        holds_TK &= (told_T1 == steps_K) | np.array([step is None for step in told], np.bool_)[:, None]
    return holds_TK
