"""An index of listings by their points: the nearest to a query, and whose they are.

FOLDER/index.usearch      the points, numbered
FOLDER/listings.parquet   id, title and picture's state of each number
FOLDER/thumbnails.*       small pictures (thumbnails.py)
FOLDER/index.json         the model that placed them: no other's query means anything here
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.answers.thumbnails import Thumbnails, Writing, writing
from workbench.artifacts.format import NEWEST, check_format
from workbench.artifacts.store import fsync
from workbench.errors import ArtifactError, DataError, RecipeError

INDEX, LISTINGS, TOLD = "index.usearch", "listings.parquet", "index.json"
EXACT = 50_000  # listings: up to so many all are looked at, which takes some milliseconds
POINT, THUMBNAIL = "point", "thumbnail"


def usearch() -> ModuleType:
    """The library; RecipeError where it isn't installed."""
    try:
        import usearch.index
    except ImportError:
        raise RecipeError("an index needs the library usearch: pip install mlim[search]") from None
    return usearch.index


def index_of(width: int, frames: Iterable[NDArray[np.float32]]) -> Any:
    """A new index of points of length 1, numbered in their order."""
    index = usearch().Index(ndim=width, metric="ip", dtype="f32")
    begin = 0
    for points_nD in frames:
        index.add(np.arange(begin, begin + len(points_nD), dtype=np.uint64), np.ascontiguousarray(points_nD))
        begin += len(points_nD)
    return index


def nearest(index: Any, points_nD: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(n, k) numbers and cosines of the nearest, best first; fewer columns where there are fewer."""
    found = index.search(points_nD, min(k, len(index)), exact=len(index) <= EXACT)
    keys, distances = np.atleast_2d(found.keys), np.atleast_2d(found.distances)
    return keys.astype(np.int64), (1 - distances).astype(np.float32)


def write_index(folder: Path, model: str, frames: Iterator[pl.DataFrame]) -> None:
    """Of frames with id, title, picture, point, thumbnail. The folder is there wholly, or as it was before."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    first = next(frames)
    told, width = list[pl.DataFrame](), first.schema[POINT].shape[0]  # type: ignore[attr-defined]

    def points(small: Writing) -> Iterator[NDArray[np.float32]]:
        for frame in chain([first], frames):
            told.append(frame.drop(POINT, THUMBNAIL))
            for data in frame[THUMBNAIL]:
                small.add(data)
            yield frame[POINT].to_numpy().reshape(-1, width)

    with writing(partial) as small:
        index = index_of(width, points(small))
    index.save(str(partial / INDEX))
    pl.concat(told).write_parquet(partial / LISTINGS)
    (partial / TOLD).write_text(json.dumps({"format": NEWEST, "model": model, "width": width, "listings": len(index)}))
    for path in (*partial.iterdir(), partial):
        fsync(path)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


class Index:
    """An index that is searched."""

    def __init__(self, index: Any, listings: pl.DataFrame, told: dict[str, Any], thumbnails: Thumbnails) -> None:
        self.listings, self.told, self._index, self.thumbnails = listings, told, index, thumbnails

    def __len__(self) -> int:
        return len(self.listings)

    @classmethod
    def open(cls, folder: Path, model: str) -> Index:
        """Raises DataError for a folder without an index, and for one that another model made."""
        library = usearch()
        try:
            told = json.loads((folder / TOLD).read_text())
            check_format(told, folder / TOLD, "make it again: mlim embed … --index")
            listings = pl.read_parquet(folder / LISTINGS)
            index = library.Index.restore(str(folder / INDEX), view=False)
        except OSError as error:
            raise DataError(
                f"{folder}: no index ({error.strerror}); mlim embed MODEL FEED OUT --index makes one"
            ) from None
        except (ValueError, RuntimeError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"{folder}: a damaged index ({error}); make it again: mlim embed … --index") from None
        if told["model"] != model:
            raise DataError(
                f"{folder}: made by another model ({told['model'][:8]}, this one is {model[:8]}): their points have "
                "nothing to do with each other; embed the feed with this model"
            )
        if index is None or len(index) != len(listings):
            raise ArtifactError(f"{folder}: a damaged index; make it again: mlim embed … --index")
        return cls(index, listings, told, Thumbnails(folder))

    def nearest(self, points_nD: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(n, k) numbers of listings, which are lines of `listings`, and their cosines; best first."""
        return nearest(self._index, points_nD, k)

    def search(self, point_D: NDArray[np.float32], k: int = 10) -> pl.DataFrame:
        """id, title, picture and score (the cosine) of the k nearest listings, best first."""
        if not len(self) or k < 1:
            return self.listings.clear().with_columns(score=pl.lit(None, pl.Float32))
        keys, cosines = nearest(self._index, point_D[None], k)
        found: pl.DataFrame = self.listings[keys[0]].with_columns(score=pl.Series(cosines[0]))
        return found
