"""Answers as they come -> one file: a part at a time, so that a killed run goes on and no memory holds them all.

OUT.partial/     answers and drops of each part that is done, and what they are of; removed at the end
OUT              Parquet, or CSV by its suffix: a line for each listing that was answered, in the order of the feed
OUT.drops.csv    a line for each row of the feed that was not, with its reason
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import polars as pl

from workbench.artifacts.key import key_of
from workbench.catalog.write import RowGroups
from workbench.errors import ArtifactError, DataError
from workbench.recipe.places import WRITTEN, url_of

SUFFIXES = (".parquet", ".csv")


@dataclass
class Counts:
    """Rows of a feed: read = answered + joined to one of these + dropped."""

    answered: int = 0
    joined: int = 0
    dropped: int = 0
    pictures: int = 0  # of the answered, that were read

    @property
    def rows(self) -> int:
        return self.answered + self.joined + self.dropped


class Parts:
    """The parts that are done, by number."""

    def __init__(self, out: Path, folder: Path) -> None:
        self._out, self._folder = out, folder

    def done(self, part: int) -> bool:
        return self._path(part, "counts.json").exists()  # which is written last

    def add(self, part: int, answers: pl.DataFrame, drops: pl.DataFrame, joined: int) -> None:
        answers.write_parquet(self._path(part, "answers.parquet"))
        drops.write_parquet(self._path(part, "drops.parquet"))
        shown = answers.filter(pl.col("picture") == "present").height
        counts = Counts(answers.height, joined, drops.height, shown)
        aside = self._path(part, "counts.tmp")
        aside.write_text(json.dumps(asdict(counts)))
        aside.replace(self._path(part, "counts.json"))

    def answers(self, parts: int) -> Iterator[pl.DataFrame]:
        return (pl.read_parquet(self._path(part, "answers.parquet")) for part in range(parts))

    def finish(self, parts: int, lines: Iterator[pl.DataFrame]) -> Counts:
        """Write `lines` and all drops; the partial folder is gone then."""
        counts = [Counts(**json.loads(self._path(part, "counts.json").read_text())) for part in range(parts)]
        _write(self._out, lines)
        drops = (pl.read_parquet(self._path(part, "drops.parquet")) for part in range(parts))
        _write(beside(self._out, "drops.csv"), drops)
        shutil.rmtree(self._folder)
        return Counts(*(sum(column) for column in zip(*map(astuple, counts), strict=True)))

    def _path(self, part: int, name: str) -> Path:
        return self._folder / f"{part:06d}.{name}"


def check(out: Path, read: Iterable[Path | None]) -> None:
    """Raises DataError for a suffix that is neither .parquet nor .csv, a folder, or a file that is among those read."""
    if out.suffix.lower() not in SUFFIXES:
        raise DataError(f"{out}: what kind of file is it to be? Give a name that ends in {' or '.join(SUFFIXES)}")
    if out.is_dir():
        raise DataError(f"{out}: is a folder; give the name of a new file")
    there = url_of(out, WRITTEN)
    if any(path and (url_of(path) == there if there else _is(path, out)) for path in read):
        raise DataError(f"{out}: is what is read, and would be lost; give the name of a new file")


def _is(path: Path, out: Path) -> bool:
    return out.exists() and path.exists() and path.samefile(out)


@contextmanager
def parts_to(out: Path, of: dict[str, object], resume: bool = True) -> Iterator[Parts]:
    """The parts of `out` that an earlier run left, if they are answers of the same (`of`: model, feed, options).

    Raises ArtifactError where another process writes `out`, DataError where it can't be written at all.
    """
    folder = beside(out, "partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "lock").open("w")
    except OSError as error:
        raise DataError(f"{out}: can't be written ({error.strerror}); give a path in a folder that can be") from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtifactError(f"{out}: another process is writing it; wait until that one ends") from None
        key, told = key_of({"of": of}), folder / "of"
        if not resume or not told.exists() or told.read_text() != key:
            for left in folder.iterdir():
                if left.name != "lock":
                    left.unlink()
            told.write_text(key)
        yield Parts(out, folder)


def beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.name}.{what}")


def stamp(paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Name, size and time of change of these files, and of those within these folders: whether a feed has changed."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [(str(f), (found := f.stat()).st_size, found.st_mtime_ns) for f in files if f.is_file()]


def _write(out: Path, frames: Iterator[pl.DataFrame]) -> None:
    """Aside, then renamed: nobody reads half a file."""
    first = next(frames)
    if out.suffix.lower() == ".parquet":
        with RowGroups(out, dict(first.schema)) as file:
            file.add(first)
            for frame in frames:
                file.add(frame)
        return
    aside = out.with_name(f"{out.name}.tmp")
    with aside.open("wb") as text:
        _flat(first).write_csv(text)
        for frame in frames:
            _flat(frame).write_csv(text, include_header=False)
    aside.replace(out)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """A column for each number of a vector, `point.0` …: CSV has no lists."""
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Array):
            width = kind.shape[0]
            each = [pl.col(name).arr.get(i).alias(f"{name}.{i}") for i in range(width)]
            frame = frame.with_columns(each).drop(name)
    return frame
